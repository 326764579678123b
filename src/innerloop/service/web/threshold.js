// "None of these": what the task promises of it, and a slider that shows both shares before one is chosen.

import * as api from "./api.js";
import { Message, announce, busy, h } from "./dom.js";

const LOW = 0.8;  // less than this answered: something is to be done

/** What is known of a task's threshold; empty where it has none. */
export class Threshold {
  constructor(view) {
    this.view = view;
    this.error = new Message();
    this.element = h("div", { class: "threshold" });
  }

  update(task) {
    const key = JSON.stringify([task.reject, task.coverage, task.calibration, task.head, task.names]);
    if (key === this.key) return;  // what is being slid stays where it is
    this.key = key;
    this.error.clear();
    this.element.replaceChildren(h("p", { class: "soft small" }, told(task)), this.slider(task), this.error.element);
  }

  slider({ reject, coverage, calibration }) {
    const points = calibration?.points ?? [];
    if (!(reject || coverage) || points.length < 2) return "";
    const nearest = points.reduce((best, point, i) => (
      Math.abs(Math.log(point[0] / calibration.target)) < Math.abs(Math.log(points[best][0] / calibration.target)) ? i : best), 0);
    const input = h("input", { type: "range", id: "strictness", min: 0, max: points.length - 1, step: 1, value: nearest, "aria-describedby": "strictness-says" });
    const says = h("p", { class: "small", id: "strictness-says" });
    const use = h("button", { disabled: true }, "Use this");
    const point = () => points[Number(input.value)];
    const show = () => {
      const [strangers, , answered] = point();
      says.textContent = `${share(answered)} of what belongs is answered, ${share(strangers)} of strangers pass.`;
      input.setAttribute("aria-valuetext", says.textContent);
    };
    input.addEventListener("input", () => {
      use.disabled = false;
      show();
    });
    show();
    const form = h("form", { onsubmit: async (event) => {
      event.preventDefault();
      await busy(use, () => this.use(point()[0]));
    } }, h("label", { for: "strictness" }, "Stricter or more generous"),
    h("div", { class: "ends small soft", "aria-hidden": "true" }, h("span", {}, "fewer strangers"), h("span", {}, "more answers")),
    input, says, use);
    return form;
  }

  async use(strangers) {
    this.error.clear();
    try {
      await this.view.show(await api.askTask(this.view.name, { strangers }));
      announce("Changed when it says none of these");
    } catch (problem) {
      this.error.show(problem);
    }
  }
}

const share = (value) => `${value < 0.1 ? +(100 * value).toFixed(1) : Math.round(100 * value)}%`;
const between = (ends) => (ends ? ` (95% interval ${share(ends[0])} to ${share(ends[1])})` : "");

const sentence = (reason) => (reason ? `${reason[0].toUpperCase()}${reason.slice(1)}. ` : "");

function told({ reject, coverage, calibration, head, names, tuning }) {
  const apart = head?.reason ? `How it tells the classes apart: ${head.reason}. ` : "";
  const why = apart + sentence(names?.reason) + sentence(tuning?.reason);
  if (!(reject || coverage) || !calibration || calibration.threshold === null) return why;
  const passing = `“None of these” lets ${share(calibration.target ?? reject)} of strangers through${between(calibration.false_accepts)}`;
  if (calibration.coverage === null) return `${why}${passing}; how much of what does belong it answers is not known yet: teach a second example of a class.`;
  const source = { "meta-validation": "measured on other tasks, when it was trained", "held-out support": "measured on your examples, each held out in turn" };
  const where = source[calibration.source] ?? "measured on your examples, each held out in turn, and on examples of no task";
  const advice = calibration.coverage < LOW ? " That is little: teach more examples of each class, or let more strangers through." : "";
  return `${why}${passing}; ${share(calibration.coverage)} of what does belong is then answered${between(calibration.answered)}, ${where}.${advice}`;
}

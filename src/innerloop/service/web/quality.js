// How good a task is: measured on its own examples when somebody asks, and what the last change did to it.

import * as api from "./api.js";
import { Message, announce, button, count, h, percent } from "./dom.js";
import { confusion, riskCoverage } from "./figures.js";
import { Shots } from "./shots.js";

const SHOWN = 10;  // classes shown before "Show all"
const DOUBTS = 5;

/** The measuring part of a task's page. */
export class Quality {
  constructor(view) {
    this.view = view;
    this.error = new Message();
    this.result = null;
    this.all = false;
    this.seen = new Set();  // ids of examples whose label somebody has looked at
    this.place = h("div", {});
    this.shots = new Shots(view);
    this.ask = button("Measure", () => this.measure());
    this.element = h("section", { class: "quality", "aria-labelledby": "quality" },
      h("h2", { id: "quality" }, "How good is it?"),
      h("p", { class: "soft small" }, "Each of its examples is asked after it has learned from the others. Examples that it has never seen are the better question; innerloop evaluate asks them."),
      this.place, this.error.element, h("div", { class: "buttons" }, this.ask), this.shots.element);
  }

  /** Hides what can't be measured yet, and says what is of an earlier version. */
  update(task) {
    this.element.hidden = task.classes.filter((one) => one.examples > 1).length < 2;
    this.shots.update(task);
    this.draw();
  }

  async measure() {
    this.error.clear();
    try {
      this.result = await api.evaluation(this.view.name);
      this.draw();
      announce(`${percent(this.result.accuracy.value)} right`);
    } catch (problem) {
      this.error.show(problem);
    }
  }

  draw() {
    const { result } = this;
    if (!result) return;
    const old = result.version !== this.view.version;
    this.ask.textContent = "Measure again";
    this.ask.hidden = !old;
    const { value, low, high, of } = result.accuracy;
    this.place.replaceChildren(
      h("p", { class: "score" }, `${percent(value)} right`, h("span", { class: "soft small" }, `of ${count(of, "example")}; 95% interval ${percent(low)} to ${percent(high)}`)),
      old ? h("p", { class: "notice" }, `This is of version ${result.version}; the task has learned since.`) : "",
      !old && result.previous ? h("p", { class: "soft small" }, change(result)) : "",
      result.reject === null ? "" : h("p", { class: "soft small" }, `${percent(result.coverage.value)} are answered, the others “none of these”.`),
      this.table(),
      this.doubts(),
      h("div", { class: "figures" }, confusion(result), riskCoverage(result)),
      ...result.notes.map((note) => h("p", { class: "soft small" }, `Note: ${note}.`)));
  }

  table() {
    const { classes } = this.result;
    const names = Object.keys(classes).sort((a, b) => classes[a].f1 - classes[b].f1 || classes[b].support - classes[a].support);
    const shown = this.all ? names : names.slice(0, SHOWN);
    return h("div", {},
      h("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": "Classes, the worst first" }, h("table", {},
        h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Class"), ["Precision", "Recall", "Examples", "Taken for"].map((word) => h("th", { scope: "col" }, word)))),
        h("tbody", {}, shown.map((name) => h("tr", {},
          h("th", { scope: "row" }, name),
          h("td", {}, percent(classes[name].precision)), h("td", {}, percent(classes[name].recall)), h("td", {}, classes[name].support),
          h("td", {}, this.takenFor(name))))))),
      shown.length < names.length ? button(`Show all ${names.length}`, () => {
        this.all = true;
        this.draw();
      }, { class: "link" }) : null);
  }

  /** Taught examples that contradict the others of their class most: a label may be wrong. */
  doubts() {
    const some = this.result.errors.filter((one) => one.id !== null && !this.seen.has(one.id)).slice(0, DOUBTS);
    if (!some.length) return "";
    return h("div", {},
      h("h3", {}, "Are these labels right?"),
      h("ul", { class: "doubts" }, some.map((one) => this.doubt(one))));
  }

  doubt(one) {
    const error = new Message();
    const image = one.picture ? h("img", { alt: `${one.truth}, no. ${one.number}` }) : null;
    if (image) api.showPicture(image, one.picture);
    return h("li", {}, image ?? h("span", { class: "clip" }, one.text ?? `${one.truth}, no. ${one.number}`),
      h("span", { class: "small soft" }, `taught as ${one.truth}, looks like ${one.answer} (${percent(one.probability)})`),
      h("div", { class: "picks" },
        button(`It is ${one.answer}`, async () => {
          error.clear();
          try {
            const { version } = await api.relabel(this.view.name, one.id, one.answer);
            this.seen.add(one.id);
            announce(`Learned as ${one.answer}`);
            await this.view.refresh(version);
          } catch (problem) {
            error.show(problem);
          }
        }, { class: "pick" }),
        button("It is right", () => {
          this.seen.add(one.id);
          this.draw();
        }, { class: "pick" })),
      error.element);
  }

  takenFor(name) {
    const { classes, counts } = this.result.confusion;
    const row = counts[classes.indexOf(name)];
    const wrong = row.map((n, i) => [classes[i] ?? "none of these", n]).filter(([other, n]) => n && other !== name).sort(([, a], [, b]) => b - a);
    return wrong.slice(0, 2).map(([other, n]) => `${other} (${n})`).join(", ") || "–";
  }
}

/** What became of the accuracy since the version that was measured before. */
function change({ accuracy, previous }) {
  const points = Math.round(1000 * (accuracy.value - previous.accuracy.value)) / 10;
  const words = points === 0 ? "as before" : `${Math.abs(points)} points ${points > 0 ? "better" : "worse"} than before`;
  return `${words[0].toUpperCase()}${words.slice(1)} (version ${previous.version}: ${percent(previous.accuracy.value)} of ${previous.accuracy.of}).`;
}

// What labels buy: how good a task is with fewer of its examples, and what ten more of each class would bring.

import * as api from "./api.js";
import { Message, announce, button, h, percent } from "./dom.js";

const NUMBERS = [1, 2, 5, 10, 20];

/** The part of "How good is it?" below what was measured. */
export class Shots {
  constructor(view) {
    this.view = view;
    this.error = new Message();
    this.result = null;
    this.numbers = [];
    this.place = h("div", {});
    this.ask = button("Try with fewer", () => this.measure());
    this.element = h("div", {},
      h("h3", {}, "Would more examples help?"),
      h("p", { class: "soft small" }, "It is taught anew with fewer of its examples, and asked those that were held out."),
      this.place, this.error.element, h("div", { class: "buttons" }, this.ask));
  }

  update(task) {
    // A fifth of each class is held out to be asked.
    const left = Math.min(...task.classes.map(({ examples }) => examples - Math.ceil(examples / 5)));
    this.numbers = NUMBERS.filter((n) => n <= left);
    this.element.hidden = this.numbers.length < 2;
    this.draw();
  }

  async measure() {
    this.error.clear();
    try {
      this.result = await api.shots(this.view.name, this.numbers);
      this.draw();
      announce(this.outlook());
    } catch (problem) {
      this.error.show(problem);
    }
  }

  draw() {
    const { result } = this;
    if (!result) return;
    const old = result.version !== this.view.version;
    this.ask.textContent = "Try again";
    this.ask.hidden = !old;
    this.place.replaceChildren(
      old ? h("p", { class: "notice" }, `Tried at version ${result.version}; the task has learned since.`) : "",
      h("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": "By the number of examples" }, h("table", {},
        h("thead", {}, h("tr", {}, ["Examples of each class", "Right", "More than before"].map((word) => h("th", { scope: "col" }, word)))),
        h("tbody", {}, result.points.map(({ shots, mean, ci95 }, i) => h("tr", {},
          h("th", { scope: "row" }, shots), h("td", {}, `${percent(mean)} ± ${points(ci95)}`), h("td", {}, i ? gain(result.gains[i - 1].difference) : "")))))),
      h("p", { class: "soft small" }, this.outlook()));
  }

  outlook() {
    const { shots, total, gain: more, reason } = this.result.forecast;
    return total === null
      ? `What ${shots} examples would bring is not forecast: ${reason}.`
      : `${shots} examples of each class would give about ${percent(total.mean)} (${gain(more)} points): ${reason}.`;
  }
}

const points = (share) => (100 * share).toFixed(1);
const gain = ({ mean, ci95 }) => `${mean < 0 ? "−" : "+"}${points(Math.abs(mean))} ± ${points(ci95)}`;

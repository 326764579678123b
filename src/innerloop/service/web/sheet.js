// Further examples of a task's classes, where its learner can make them: a sheet, a row each class.

import * as api from "./api.js";
import { Message, announce, button, count, h } from "./dom.js";

const EACH = 12;

/** The part of a task's page that shows generated examples. */
export class Sheet {
  constructor(view) {
    this.view = view;
    this.error = new Message();
    this.seed = 0;
    this.place = h("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": "Generated examples" });
    this.note = h("p", { class: "soft small", role: "status" });
    this.ask = button(`Make ${EACH} of each class`, () => this.show());
    this.element = h("section", { class: "panel sheet", "aria-labelledby": "sheet", hidden: true },
      h("h2", { id: "sheet" }, "More of each class"),
      h("p", { class: "soft" }, "Its learner can make further examples. Each row is a class: on the left what it was taught, on the right what it makes of that."),
      this.place, this.note, this.error.element, h("div", { class: "buttons" }, this.ask));
  }

  update(task) {
    this.element.hidden = !this.view.abilities.generate || !task.classes.length;
    if (this.version !== undefined && this.version !== task.version) this.note.textContent = `This is of version ${this.version}; the task has learned since.`;
  }

  async show() {
    this.error.clear();
    try {
      const { version, classes } = this.view.task;
      const src = await api.generated(this.view.name, EACH, this.seed);
      const alt = `${count(EACH, "generated example")} of each class: ${classes.map((one) => one.label).join(", ")}`;
      const image = h("img", { src, alt, onload: () => URL.revokeObjectURL(src) });
      this.version = version;
      this.seed += 1;
      this.note.textContent = "";
      this.place.replaceChildren(image);
      this.ask.textContent = "Make others";
      announce("Examples are made");
    } catch (problem) {
      this.error.show(problem);
    }
  }
}

// Which of many examples to label next: the service chooses, a person says what they are.

import * as api from "./api.js";
import { Message, announce, areFiles, busy, count, h } from "./dom.js";
import { Intake, requests, sent } from "./intake.js";
import { Answer } from "./try.js";

const ASKED = 10;
const RULES = {
  margin: "two classes are nearly as probable",
  entropy: "many classes are possible",
  mutual_information: "members of the learner disagree",
};

/** The part of a task's page that asks for labels. */
export class Next {
  constructor(view) {
    this.view = view;
    this.error = new Message();
    const words = { pictures: "Choose pictures without labels", sounds: "Choose sounds without labels", texts: "Sentences without labels", features: "Examples without labels" };
    this.intake = new Intake(view, words[view.kind], () => this.error.clear());
    this.choose = h("button", { class: "primary" }, `Pick ${ASKED} of them`);
    this.by = h("select", { id: "next-by" }, ...Object.entries(RULES).filter(([value]) => value !== "mutual_information" || view.abilities.mutual_information).map(([value, says]) => h("option", { value }, says)));
    this.note = h("p", { class: "soft", role: "status" });
    this.form = h("form", { onsubmit: async (event) => {
      event.preventDefault();
      await busy(this.choose, () => this.suggest());
    } }, this.intake.element, h("div", { class: "field" }, h("label", { for: "next-by" }, "Ask where"), this.by),
      this.error.element, h("div", { class: "buttons" }, this.choose));
    this.results = h("ol", { class: "answers", "aria-label": "To be labelled" });
    this.element = h("section", { class: "panel next", "aria-labelledby": "next" },
      h("h2", { id: "next" }, "What to label next"),
      h("p", { class: "soft" }, "Give it many examples without labels. It picks those that it would learn most from, and you say what they are."),
      this.form, this.note, this.results);
  }

  update(task) {
    this.element.hidden = task.classes.length < 2;
  }

  async suggest() {
    this.error.clear();
    this.note.textContent = "";
    try {
      const things = this.intake.things();
      if (!things.length) throw new Error(areFiles(this.view.kind) ? `choose some ${this.view.kind} first` : "type some, or take them from a file, first");
      const { chosen, version, notices } = await this.among(things);
      this.note.textContent = [...notices].join(". ");
      const answers = chosen.map(([thing, prediction]) => new Answer(this.view, prediction, thing, version, { open: true }));
      this.results.replaceChildren(...answers.map((answer) => answer.element));
      this.intake.sent(answers.map((answer) => answer.thing));  // the others stay for the next time
      announce(`${count(answers.length, "example")} to label`);
    } catch (problem) {
      this.intake.blame(problem.message);
      this.error.show(problem);
    }
  }

  /** Of more than go into one request, those of every request are chosen among again. */
  async among(things, notices = new Set()) {
    const chosen = [];
    let version;
    let parts = 0;
    for (const some of requests(things)) {
      const answer = await api.suggest(this.view.name, some.map(sent), ASKED, this.by.value);
      for (const notice of answer.notices ?? []) notices.add(notice);
      version = answer.version;
      chosen.push(...answer.suggestions.map((one) => [some[one.index], one]));
      parts += 1;
    }
    return parts < 2 || chosen.length === things.length ? { chosen, version, notices } : this.among(chosen.map(([thing]) => thing), notices);
  }
}

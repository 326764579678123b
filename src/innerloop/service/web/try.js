// Asking the task about something new, and telling it where it is wrong.

import * as api from "./api.js";
import { Message, announce, areFiles, busy, button, count, h, percent, unique } from "./dom.js";
import { Intake, picture, requests, sent } from "./intake.js";

const BARS = 5;
const PICKS = 8;
const SURE = 0.9;

/** The trying half of a task's page. */
export class Try {
  constructor(view) {
    this.view = view;
    this.error = new Message();
    this.answers = [];
    this.asking = false;
    this.waiting = h("p", { class: "soft" });
    this.stale = h("div", { class: "notice", role: "status", hidden: true });
    this.results = h("ol", { class: "answers", "aria-label": "Answers" });
    const words = { pictures: "Choose pictures to try", sounds: "Choose sounds to try", texts: "Sentences to try", features: "Examples to try" };
    this.ask = h("button", { class: "primary" }, "Ask");
    this.intake = new Intake(view, words[view.kind], () => {
      this.error.clear();
      if (areFiles(view.kind) && !this.intake.empty) this.form.requestSubmit();
    });
    this.form = h("form", { onsubmit: async (event) => {
      event.preventDefault();
      await busy(this.ask, () => this.predict());
    } }, this.intake.element, this.error.element, areFiles(view.kind) ? null : h("div", { class: "buttons" }, this.ask));
    this.intake.area?.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.form.requestSubmit();
    });
    this.element = h("section", { class: "panel try", "aria-labelledby": "try" },
      h("h2", { id: "try" }, "Try it"), this.waiting, this.form, this.stale, this.results);
  }

  /** Says whether it can be asked already, and which answers are of an earlier version. */
  update(task) {
    const missing = 2 - task.classes.length;
    this.waiting.textContent = missing > 0
      ? `It can answer as soon as it knows two classes: teach it ${missing === 2 ? "two" : "one more"}.`
      : task.reject || task.coverage ? "It says “none of these” when nothing is near." : "It picks one of the classes, always.";
    this.form.hidden = missing > 0;
    this.mark();
  }

  mark() {
    const old = this.answers.filter((answer) => answer.version !== this.view.version);
    this.stale.hidden = !old.length;
    if (!old.length) return;
    this.stale.replaceChildren(
      h("span", {}, `The task has learned since; ${old.length === 1 ? "one answer is" : `${old.length} answers are`} of an earlier version. `),
      button("Ask again", async () => {
        const earlier = this.answers;
        this.answers = [];
        this.error.clear();
        try {
          await this.run(earlier.map((answer) => answer.thing));
          for (const answer of earlier) answer.element.remove();
        } catch (problem) {
          this.answers.push(...earlier);  // what was asked is kept until it is answered anew
          this.error.show(problem);
        }
      }));
  }

  async predict() {
    if (this.asking) return;
    this.asking = true;
    this.error.clear();
    try {
      const things = this.intake.things();
      if (!things.length) throw new Error(areFiles(this.view.kind) ? `choose some ${this.view.kind} first` : "type something to ask about first");
      await this.run(things, () => this.intake.sent(things));
    } catch (problem) {
      const wrong = this.intake.blame(problem.message);
      const others = this.intake.pending.length - wrong.length;
      this.error.show(problem, wrong.length && others ? button(`Leave ${wrong.length === 1 ? "it" : "them"} out and try ${others === 1 ? "the other one" : `the other ${others}`}`, async () => {
        this.intake.sent(wrong);
        await this.predict();
      }) : null);
      return;
    } finally {
      this.asking = false;
    }
    if (areFiles(this.view.kind) && !this.intake.empty) await this.predict();  // chosen in the meantime
  }

  async run(things, done = () => {}) {
    for (const some of requests(things)) {
      const answered = await api.predict(this.view.name, some.map(sent));
      const answers = answered.predictions.map((prediction, i) => new Answer(this.view, prediction, some[i], answered.version));
      this.answers.unshift(...answers);
      this.results.prepend(...answers.map((answer) => answer.element));
      announce(answers.length === 1 ? `Answer: ${answers[0].verdict}` : `${count(answers.length, "answer")}; the first is ${answers[0].verdict}`);
    }
    done();
    this.mark();
  }
}

function neighbour(one) {
  const name = `${one.label}, no. ${one.number}`;
  if (!one.picture) return h("li", {}, one.text ? h("span", { class: "quoted" }, one.text) : null, h("span", { class: "soft small" }, name));
  const image = h("img", { alt: name, title: name });
  api.showPicture(image, one.picture);
  return h("li", {}, image, h("span", { class: "soft small clip" }, name));
}

/** An answer with what can be said to it. `open`: nobody knows yet what the example is. */
export class Answer {
  constructor(view, prediction, thing, version, { open = false } = {}) {
    Object.assign(this, { view, prediction, thing, version, open });
    this.ranked = Object.entries(prediction.probabilities).sort(([, a], [, b]) => b - a);
    const named = prediction.class !== null && prediction.class !== undefined;
    this.verdict = named ? `${prediction.class}, ${percent(prediction.probabilities[prediction.class])}` : "none of these";
    this.error = new Message();
    this.fix = h("div", { class: "fix" });
    this.element = h("li", { class: "answer" },
      h("div", { class: "asked" }, thing.file ? picture(thing) : h("blockquote", {}, thing.name)),
      h("div", { class: "saying" },
        h("p", { class: named ? "verdict" : "verdict none" }, named ? prediction.class : "None of these",
          h("span", { class: "soft small" }, named ? percent(prediction.probabilities[prediction.class]) : `nearest: ${this.ranked[0]?.[0] ?? "–"}`)),
        named ? this.bars() : this.otherwise(), this.why(), this.fix, this.error.element));
    this.offer();
  }

  bars() {
    const shown = this.ranked.slice(0, BARS);
    const rest = this.ranked.length - shown.length;
    return h("ul", { class: "bars", "aria-label": "How likely each class is" },
      shown.map(([label, p]) => {
        const bar = h("meter", { min: 0, max: 1, value: p, "aria-label": label });
        return h("li", {}, h("span", { class: "clip" }, label), bar, h("span", { class: "number" }, percent(p)));
      }),
      rest > 0 ? h("li", { class: "soft small" }, `and ${count(rest, "class", "classes")} less likely`) : null);
  }

  /** Bars say how likely each class is of those there are, so they are no answer where it is none of them. */
  otherwise() {
    return h("details", { class: "why" }, h("summary", {}, "If it had to be one of them"), this.bars());
  }

  /** The taught examples that are nearest, asked for when somebody wants to know. */
  why() {
    const place = h("div", {});
    const details = h("details", { class: "why" }, h("summary", {}, "Why?"), place);
    details.addEventListener("toggle", async () => {
      if (!details.open || place.childElementCount) return;
      place.replaceChildren(h("p", { class: "soft small" }, "Looking…"));
      try {
        const { predictions } = await api.predict(this.view.name, [sent(this.thing)], "?explain=true");
        place.replaceChildren(
          await this.set(),
          h("p", { class: "soft small" }, "The most similar examples it was taught, most similar first:"),
          h("ol", { class: "near" }, predictions[0].nearest.map(neighbour)));
      } catch (problem) {
        place.replaceChildren(h("p", { class: "soft small" }, problem.message));
      }
    });
    return details;
  }

  /** The fewest classes that hold the right one nine times in ten. */
  async set() {
    try {
      const { predictions } = await api.predict(this.view.name, [sent(this.thing)], `?sets=${SURE}`);
      const { set } = predictions[0];
      return h("p", { class: "small" }, set.length === 1 ? `Nine times in ten it is this alone, if it is one of the classes: ${set[0]}.`
        : `Nine times in ten it is one of these, if it is one of the classes: ${set.join(", ")}.`);
    } catch (problem) {
      if (problem.status !== 409) throw problem;
      return "";  // too few examples to promise anything
    }
  }

  offer() {
    const answer = this.open ? null : this.prediction.class;
    const picks = this.ranked.map(([label]) => label).filter((label) => label !== answer).slice(0, PICKS);
    const id = unique("pick");
    const other = h("input", { list: "known-classes", required: true, maxlength: 100, autocomplete: "off", "aria-label": "Its class" });
    const form = h("form", { class: "inline", hidden: true, onsubmit: (event) => {
      event.preventDefault();
      busy(event.submitter ?? form, () => this.teach(other.value.trim()));
    } }, other, h("button", {}, "Teach"));
    this.fix.replaceChildren(
      h("span", { id, class: "soft small" }, this.open ? "It is:" : "Wrong? It is:"),
      h("div", { class: "picks", role: "group", "aria-labelledby": id },
        picks.map((label) => button(label, () => this.teach(label), { class: "pick" })),
        button("another…", () => {
          form.hidden = false;
          other.focus();
        }, { class: "pick" })),
      form);
  }

  async teach(label) {
    this.error.clear();
    const before = this.view.version;
    try {
      let done;
      try {
        done = await api.feedback(this.view.name, this.prediction.id, label);
      } catch (problem) {
        if (problem.status !== 410) throw problem;
        // The service has let go of what it was asked; here it still is.
        done = await api.teach(this.view.name, [sent(this.thing)], [label]);
      }
      announce(`Learned as ${label}`);
      const undo = done.version === before + 1 ? button("Undo", () => this.undo(before, done.version)) : null;
      this.fix.replaceChildren(h("p", { class: "done", tabindex: "-1" }, `✓ Learned as ${label}`), undo ?? "");
      this.fix.firstChild.focus();
      await this.view.refresh(done.version);
    } catch (problem) {
      this.error.show(problem);
    }
  }

  async undo(to, from) {
    try {
      const { version } = await api.undo(this.view.name, to, from);
      announce("Taken back");
      this.offer();
      this.fix.querySelector("button")?.focus();
      await this.view.refresh(version);
    } catch (problem) {
      this.error.show(problem);
    }
  }
}

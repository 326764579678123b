// One task: teach it on the left, try it on the right, its versions below. Looks every few seconds whether it was changed elsewhere.

import * as api from "./api.js";
import { Chat } from "./chat.js";
import { Watch } from "./watch.js";
import { Message, announce, button, confirm, count, h } from "./dom.js";
import { driftOf } from "./drift.js";
import { Next } from "./next.js";
import { Quality } from "./quality.js";
import { Sheet } from "./sheet.js";
import { Teach } from "./teach.js";
import { Threshold } from "./threshold.js";
import { Try } from "./try.js";
import { Versions } from "./versions.js";

const LOOK = 3000;  // milliseconds between two looks

/** Fills `place`; returns what stops looking for changes. */
export async function taskPage(place, name) {
  const view = new View(place, ...await Promise.all([api.task(name), api.abilities(name)]));
  await view.show(view.task);
  const look = () => { if (!document.hidden) view.look(); };
  const timer = setInterval(look, LOOK);
  document.addEventListener("visibilitychange", look);
  return () => {
    clearInterval(timer);
    document.removeEventListener("visibilitychange", look);
  };
}

class View {
  constructor(place, task, abilities) {
    this.place = place;
    this.abilities = abilities;
    this.name = task.name;
    this.kind = task.kind;
    this.task = task;
    this.error = new Message();
    this.notice = h("div", { class: "notice", role: "status", hidden: true });
    this.facts = h("p", { class: "facts soft" });
    this.threshold = new Threshold(this);
    this.teach = new Teach(this);
    this.trying = new Try(this);
    this.next = new Next(this);
    this.sheet = new Sheet(this);
    this.chat = new Chat(this);
    this.watch = new Watch(this);
    this.measuring = new Quality(this);
    this.drift = h("div", {});
    this.history = new Versions((to, seen) => this.goBack(to, seen), sizes);
    this.download = button("Download", () => this.error.attempt(() => api.download(this.name)), { title: "One file that innerloop predict reads" });
    // On a narrow screen it lies below the examples of all classes.
    this.toTry = button("Try it", () => this.trying.element.scrollIntoView(), { class: "narrow" });
    place.replaceChildren(
      h("div", { class: "head" },
        h("div", { class: "clip" }, h("p", { class: "crumb" }, h("a", { href: "#/" }, "Tasks"), " /"), h("h1", { dir: "auto" }, task.name), this.facts),
        h("div", { class: "buttons" }, this.toTry, this.download, button("Delete", () => this.remove(), { class: "quiet", "aria-label": "Delete the task" }))),
      this.error.element, this.notice,
      h("div", { class: "columns work" }, this.teach.element, h("div", { class: "side" }, this.trying.element, this.threshold.element, this.chat.element, this.next.element, this.sheet.element, this.drift), this.watch.element, this.measuring.element, this.history.element));
  }

  get version() {
    return this.task.version;
  }

  /** Draws the task as it is now; all of it at once, so that no button stands for an earlier version. */
  async show(task) {
    const [versions, shown] = await Promise.all([api.versions(this.name), this.teach.fetch(task)]);
    if (task.created === this.task.created && task.version < this.version) return;  // a later answer came first
    this.task = task;
    const examples = task.classes.reduce((sum, c) => sum + c.examples, 0);
    this.facts.textContent = [`Starts from ${task.source}`, count(task.classes.length, "class", "classes"), count(examples, "example"), ...bounded(task), `version ${task.version}`].join(" · ");
    this.download.hidden = this.toTry.hidden = task.classes.length < 2;
    this.threshold.update(task);
    this.trying.update(task);
    this.next.update(task);
    this.sheet.update(task);
    await this.chat.update(task);
    await this.watch.update(task);
    this.drift.replaceChildren(driftOf(task));
    this.history.show(versions, task.version);
    this.measuring.update(task);
    this.teach.update(task, shown);
  }

  /** After a change of our own; `version` is what the service answered. */
  async refresh(version) {
    this.notice.hidden = true;
    const task = await api.task(this.name);
    if (version !== undefined && task.version > version) this.say(`This task was also changed elsewhere; it is at version ${task.version} now.`);
    await this.show(task);
  }

  /** Was it changed by someone else? */
  async look() {
    if (this.gone) return;
    const known = this.version;
    try {
      const task = await api.task(this.name);
      if (this.version !== known) return;
      this.threshold.update(task);  // another threshold is no other version, and neither is what was noted
      this.drift.replaceChildren(driftOf(task));
      if (task.version === known) return;
      await this.show(task);
      this.say(`Changed elsewhere: this is version ${task.version} now.`);
    } catch (problem) {
      if (problem.status !== 404) return;  // The next look may get through.
      this.gone = true;
      this.error.show(new Error("this task was deleted elsewhere"), h("a", { href: "#/" }, "Back to the tasks"));
    }
  }

  async goBack(to, seen) {
    this.error.clear();
    try {
      const { version } = await api.undo(this.name, to, seen);
      announce(`Went back to version ${to}`);
      await this.refresh(version);
    } catch (problem) {
      if (problem.status === 412) await this.show(await api.task(this.name));
      this.error.show(problem);
      this.error.element.scrollIntoView({ block: "nearest" });
    }
  }

  say(text) {
    this.notice.textContent = text;
    this.notice.hidden = false;
    announce(text);
  }

  async remove() {
    const agreed = await confirm(`Delete ${this.name}?`, "The task, its examples and all its versions go. This can't be taken back; download it first if you may want it again.", "Delete the task");
    if (!agreed) return;
    await this.error.attempt(async () => {
      await api.deleteTask(this.name);
      this.gone = true;
      announce(`Deleted ${this.name}`);
      location.hash = "#/";
    });
  }
}

const bounded = ({ budget }) => (budget ? [`learned from ${budget.kept} of them, at most ${budget.examples} of a class`] : []);
const sizes = ({ classes, examples }) => (classes ? `${count(classes, "class", "classes")}, ${count(examples, "example")}` : "empty");

// A stream of texts that the task labels, alone or with another task: how its shares stand, their curves, and alerts.

import * as api from "./api.js";
import { Message, ago, announce, busy, button, confirm, count, h, percent } from "./dom.js";
import { shareCurve } from "./figures.js";

const CURVES = 4;  // drawn before "Show all"
const ALERTS = 5;
const LINES = 1000;  // the most that the service takes at once

const named = (labels) => Object.values(labels).join(" × ");

/** The part of a task's page that watches. */
export class Watch {
  constructor(view) {
    this.view = view;
    this.error = new Message();
    this.all = false;
    this.place = h("div", {});
    this.element = h("section", { class: "panel watch", "aria-labelledby": "watch", hidden: true },
      h("h2", { id: "watch" }, "Watch what is said"), this.place, this.error.element, this.take(), this.start());
  }

  /** Events of a file. */
  take() {
    this.file = h("input", { type: "file", id: "watch-events", accept: ".jsonl,.ndjson,.json" });
    this.finish = h("input", { type: "checkbox" });
    const send = h("button", { class: "primary" }, "Take them");
    this.taking = h("form", { hidden: true, onsubmit: async (event) => {
      event.preventDefault();
      await busy(send, () => this.send());
    } },
      h("div", { class: "field" }, h("label", { for: "watch-events" }, "Events, a JSON object a line: text, time, id"), this.file),
      h("label", { class: "check" }, this.finish, h("span", {}, "Close the last windows, as if nothing came any more")),
      h("div", { class: "buttons" }, send, button("End the watch", () => this.end(), { class: "quiet" })));
    return this.taking;
  }

  /** What it is begun with. */
  start() {
    this.other = h("select", { id: "watch-other" });
    this.window = h("input", { id: "watch-window", value: "1h", required: true, size: 6, autocomplete: "off" });
    this.warmup = h("input", { id: "watch-warmup", type: "number", min: 2, value: 24, required: true });
    const begin = h("button", {}, "Begin");
    this.beginning = h("details", { class: "why" }, h("summary", {}, "Begin a watch"),
      h("form", { onsubmit: async (event) => {
        event.preventDefault();
        await busy(begin, () => this.begin());
      } },
        h("div", { class: "field" }, h("label", { for: "watch-other" }, "On the same texts"), this.other),
        h("div", { class: "field" }, h("label", { for: "watch-window" }, "Length of a window, such as 15m, 1h, 1d"), this.window),
        h("div", { class: "field" }, h("label", { for: "watch-warmup" }, "Windows that usual shares are learned from"), this.warmup),
        h("div", { class: "buttons" }, begin)));
    return this.beginning;
  }

  async update(task) {
    this.element.hidden = this.view.kind !== "texts" || task.classes.length < 2;
    if (this.element.hidden || this.asked === task.version) return;
    this.asked = task.version;
    await this.attempt(async () => {
      const others = (await api.tasks()).filter((one) => one.kind === "texts" && one.name !== task.name && one.classes.length > 1);
      this.other.replaceChildren(h("option", { value: "" }, "this task alone"), ...others.map(({ name }) => h("option", { value: name }, `and ${name}`)));
      this.tell(await api.watched(this.view.name));
    });
  }

  attempt(work) {
    return this.error.attempt(() => work().catch((problem) => {
      if (problem.status !== 403) throw problem;
      this.element.hidden = true;  // a key that only looks is not for what people wrote
    }));
  }

  begin() {
    return this.attempt(async () => {
      const settings = { window: this.window.value.trim(), warmup: Number(this.warmup.value) };
      this.tell(await api.beginWatch(this.view.name, { ...settings, ...(this.other.value ? { other: this.other.value } : {}) }));
      this.beginning.open = false;
      announce("The watch has begun");
    });
  }

  send() {
    return this.attempt(async () => {
      if (!this.file.files.length) throw new Error("choose a file of events first");
      const lines = (await this.file.files[0].text()).split("\n").filter((line) => line.trim());
      let [events, rises] = [0, 0];
      for (let first = 0; first < Math.max(lines.length, 1); first += LINES) {
        const last = first + LINES >= lines.length;
        const { came, alerts } = await api.events(this.view.name, lines.slice(first, first + LINES), last && this.finish.checked);
        events += came.events ?? 0;
        rises += alerts.filter((one) => one.what === "rise").length;
      }
      this.tell(await api.watched(this.view.name));
      announce(`${count(events, "event")} taken, ${count(rises, "rise")} told`);
    });
  }

  async end() {
    if (!(await confirm("End this watch?", "Its windows, alerts and sentences are deleted.", "End it"))) return;
    await this.attempt(async () => {
      await api.endWatch(this.view.name);
      this.tell(null);
    });
  }

  /** How it stands. */
  tell(now) {
    this.now = now;
    this.taking.hidden = !now;
    if (!now) {
      this.place.replaceChildren(h("p", { class: "soft" }, "It labels a stream of texts in windows of time, and alerts where the share of a label rises."));
      return;
    }
    const [shown, more] = this.curves();
    const { tasks, tally, clock, settings, warming, closed, notes } = now;
    const events = count(tally.events ?? 0, "event");
    const about = [tasks.map(({ name }) => name).join(" and "), clock ? `${events} until ${clock}` : events, `${count(closed, "closed window")} of ${settings.window}`];
    this.place.replaceChildren(
      h("p", { class: "soft" }, about.join(" · ")),
      warming ? h("p", { class: "notice" }, `Usual shares are learned for ${count(warming, "more window")}; nothing alerts before.`) : "",
      ...this.alerts(), h("div", { class: "curves" }, shown), more, ...notes.map((note) => h("p", { class: "soft small" }, note)));
  }

  alerts() {
    const rises = this.now.last_alerts.filter((one) => one.what === "rise");
    const alerting = new Set(this.now.standings.filter((one) => one.alerting).map(({ labels }) => named(labels)));
    return rises.slice(0, ALERTS).map(({ labels, share, usual, window, sentences }) => h("details", { class: "alert" },
      h("summary", {}, h("strong", { dir: "auto" }, named(labels)), ` rose to ${percent(share.value)}, usually ${percent(usual.value)}, `, h("time", { datetime: window.end, title: window.end }, ago(window.end)), alerting.has(named(labels)) ? "" : "; over since"),
      h("ul", {}, sentences.map(({ text }) => h("li", { dir: "auto" }, text)))));
  }

  curves() {
    const some = this.now.curves.filter(({ points }) => points.length > 1);
    const shown = this.all ? some : some.slice(0, CURVES);
    const risen = this.now.last_alerts.filter((one) => one.what === "rise");
    const more = some.length > shown.length ? button(`Show all ${some.length}`, () => { this.all = true; this.tell(this.now); }, { class: "quiet" }) : "";
    return [shown.map((one) => shareCurve(named(one.labels), one.points, one.usual, risen.filter(({ labels }) => named(labels) === named(one.labels)).map(({ window }) => Date.parse(window.start) / 1000))), more];
  }
}

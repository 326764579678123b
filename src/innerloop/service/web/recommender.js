// One recommender: titles are looked for and rated, and the list of what one may like changes with every rating.

import * as api from "./api.js";
import { Message, announce, busy, button, confirm, count, h, percent } from "./dom.js";
import { stars } from "./stars.js";

const LISTED = 10;
const ASKED = 5;
const HITS = 8;
const LISTABLE = 200;  // as many categories as the server lists: of more, some may be missing
const NAMED = 10;
const PAUSE = 250;  // milliseconds after the last letter, before it is looked for
const NAME = String.raw`[\p{L}\p{Nd}][\p{L}\p{M}\p{Nd}._\-]{0,63}`;  // the server's own (service/task_names.py)

/** Fills `place`. `who`: somebody whose ratings the server keeps; without, they stay in this tab. */
export async function recommenderPage(place, name, who) {
  const about = await api.recommender(name);
  const kept = who === undefined ? null : await api.person(name, who);
  const view = new View(place, about, kept);
  await view.changed();
  return () => clearTimeout(view.timer);
}

class View {
  constructor(place, about, kept) {
    this.about = about;
    this.name = about.name;
    this.who = kept?.name ?? null;
    this.ratings = new Map((kept?.ratings ?? remembered(this.name)).map((one) => [one.item, one]));
    this.turn = 0;  // answers to what was asked before the last change are not shown
    this.before = null;  // places of what was listed before
    this.error = new Message();
    this.facts = h("p", { class: "facts soft" });
    this.hits = h("ul", { class: "rated", "aria-label": "Titles" });
    this.asked = h("ul", { class: "rated", "aria-label": "Questions" });
    this.features = rememberedFeatures(this.name, this.who, about.features);
    this.own = h("ul", { class: "rated", "aria-label": "Your ratings" });
    this.none = h("p", { class: "soft" }, "Nothing rated yet. Look for something that you know.");
    this.list = h("ol", { class: "liked", "aria-label": "What you may like", tabindex: "-1" });
    this.notices = h("div", {});
    this.search = h("input", { type: "search", id: "search", autocomplete: "off", spellcheck: "false", dir: "auto", "aria-describedby": "search-help", oninput: () => this.later() });
    this.known = h("input", { type: "range", id: "known", min: 0, max: 2, step: 0.1, value: 0, "aria-describedby": "known-help", onchange: () => this.error.attempt(() => this.recommend()) });
    this.variety = h("input", { type: "range", id: "variety", min: 0, max: 1, step: 0.1, value: 0, onchange: () => this.error.attempt(() => this.recommend()) });
    place.replaceChildren(
      h("div", { class: "head" },
        h("div", { class: "clip" }, h("p", { class: "crumb" }, h("a", { href: "#/recommend" }, "Recommend"), " /"), h("h1", { dir: "auto" }, this.name), this.facts),
        h("div", { class: "buttons" }, this.who === null ? "" : button("Forget me", () => this.forget(), { class: "quiet" }))),
      this.error.element,
      h("div", { class: "columns rating" },
        h("section", { class: "panel", "aria-labelledby": "rate" },
          h("h2", { id: "rate" }, "Rate what you know"),
          h("div", { class: "field" }, h("label", { for: "search" }, "Title"), this.search, h("p", { class: "help", id: "search-help" }, "A word of it, or how it begins.")),
          this.hits, this.aboutYou()),
        h("section", { class: "side", "aria-labelledby": "liked" },
          h("h2", { id: "liked" }, "You may like"),
          h("div", {}, h("label", { for: "known" }, "Prefer what many know"), this.known,
            h("p", { class: "help", id: "known-help" }, "To the left: what you should like most, however rare."),
            h("label", { for: "variety" }, "More variety"), this.variety),
          this.notices, this.list),
        h("section", { class: "panel", "aria-labelledby": "own" }, h("h2", { id: "own" }, "Your ratings"), this.none, this.own, this.keeping()),
        about.behaviour ? "" : h("section", { class: "panel", "aria-labelledby": "ask" },
          h("h2", { id: "ask" }, "What would tell most"),
          h("p", { class: "soft small" }, "What you think of these says most about everything else. Leave out what you don't know."),
          this.asked)));
  }

  /** For whom is asked. */
  get person() {
    return { ...this.rated, features: this.features };
  }

  get rated() {
    return this.who === null ? { ratings: Object.fromEntries([...this.ratings].map(([item, { rating }]) => [item, rating])) } : { person: this.who };
  }

  /** What the run knows of people besides ratings, to be filled in. */
  aboutYou() {
    const { features } = this.about;
    if (!features.length) return "";
    return h("details", { class: "reading", open: Object.keys(this.features).length > 0 }, h("summary", {}, "About you"),
      h("p", { class: "help" }, "As far as you like. It goes with each question, and is never kept on the server."),
      features.map((feature, k) => this.field(feature, `about-${k}`)));
  }

  /** A field for one of them; what it holds is an option where there are few, else typed. */
  field({ name, kind, values }, id) {
    const known = this.features[name];
    const change = ({ target }) => this.error.attempt(async () => {
      const value = kind === "number" ? target.valueAsNumber : kind === "category" ? target.value.trim() : split(target.value);
      if (value.length === 0 || Number.isNaN(value)) delete this.features[name];
      else this.features[name] = value;
      rememberFeatures(this.name, this.who, this.features);
      await this.changed();
    });
    const asOne = { id, dir: "auto", onchange: change };
    const label = h("label", { for: id, dir: "auto" }, name);
    if (kind === "number") return h("div", { class: "field" }, label, h("input", { ...asOne, type: "number", step: "any", value: known ?? "" }));
    if (kind === "categories") {
      return h("div", { class: "field" }, label, h("input", { ...asOne, autocomplete: "off", value: (known ?? []).join(" | "), "aria-describedby": `${id}-help` }),
        h("p", { class: "help", id: `${id}-help` }, `With | between several of: ${values.slice(0, NAMED).join(" | ")}${values.length > NAMED ? ", ..." : ""}`));
    }
    if (values.length >= LISTABLE) return h("div", { class: "field" }, label, h("input", { ...asOne, autocomplete: "off", value: known ?? "" }));
    return h("div", { class: "field" }, label, h("select", asOne,
      h("option", { value: "" }, "not known"), values.map((value) => h("option", { value, selected: value === known }, value))));
  }

  /** Rates an item, or takes its rating back where it is null, and shows what follows. */
  async rate({ item, title }, rating) {
    await this.error.attempt(async () => {
      if (this.who !== null) await api.rate(this.name, this.who, { [item]: rating });
      if (rating === null) this.ratings.delete(item);
      else this.ratings.set(item, { item, title, rating });
      if (this.who === null) remember(this.name, [...this.ratings.values()]);
      await this.changed();
      announce(rating === null ? `${title} is not rated any more; the list has changed` : `${title}: ${rating}; the list has changed`);
    });
  }

  async changed() {
    const { items, lowest, highest } = this.about;
    const where = this.who === null ? "kept in this tab alone" : `kept as ${this.who}`;
    const scale = this.about.behaviour ? [] : [`rated from ${lowest} to ${highest}`];
    this.facts.textContent = [count(items, "item"), ...scale, `${count(this.ratings.size, "rating")} of yours, ${where}`].join(" · ");
    this.none.hidden = this.ratings.size > 0;
    const focused = this.own.contains(document.activeElement);
    this.own.replaceChildren(...[...this.ratings.values()].reverse().map((one) => this.row(one, true)));
    if (focused) (this.own.querySelector("input:checked, input, button") ?? this.search).focus();
    await Promise.all([this.recommend(), ...(this.about.behaviour ? [] : [this.ask()])]);
  }

  /** An item with its stars. */
  row({ item, title }, removable = false) {
    const rated = this.ratings.get(item)?.rating ?? null;
    return h("li", { "data-item": item }, h("span", { class: "clip", dir: "auto" }, title),
      h("span", { class: "inline" }, stars(this.about, title, rated, (value) => this.rate({ item, title }, value)),
        removable ? button("✕", () => this.rate({ item, title }, null), { class: "tiny", "aria-label": `Take back the rating of ${title}` }) : ""));
  }

  later() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.error.attempt(() => this.look()), PAUSE);
  }

  async look() {
    const text = this.search.value.trim();
    const hits = text ? await api.items(this.name, text, HITS) : [];
    if (text !== this.search.value.trim()) return;
    this.hits.replaceChildren(...(text && !hits.length ? [h("li", { class: "soft" }, "Nothing is called so.")] : hits.map((one) => this.row(one))));
    if (text) announce(count(hits.length, "title"));
  }

  async ask() {
    if (this.asked.contains(document.activeElement)) {  // whoever goes through the questions is not interrupted
      this.asked.querySelectorAll(`li`).forEach((li) => li.classList.toggle("answered", this.ratings.has(li.dataset.item)));
      if (this.asked.querySelector("li:not(.answered)")) return;
    }
    const turn = this.turn;
    const { items } = await api.questions(this.name, { ...this.person, count: ASKED });
    if (turn !== this.turn) return;
    const focused = this.asked.contains(document.activeElement);
    this.asked.replaceChildren(...items.map((one) => this.row(one)));
    if (focused) this.asked.querySelector("input")?.focus();
  }

  async recommend() {
    const turn = ++this.turn;
    const { recommended, notices } = await api.recommend(this.name, { ...this.person, top: LISTED, familiarity: Number(this.known.value), diversity: Number(this.variety.value) });
    if (turn !== this.turn) return;
    const focused = this.list.contains(document.activeElement);
    this.notices.replaceChildren(...notices.map((notice) => h("p", { class: "soft small", role: "status" }, notice)));
    this.list.replaceChildren(...recommended.map((one, i) => h("li", {},
      h("div", { class: "line" }, h("strong", { class: "clip", dir: "auto" }, one.title), this.moved(one.item, i)),
      reasons("because of ", one.because), reasons("for ", one.features),
      h("div", { class: "line" }, h("span", { class: "soft small number" }, one.deviation === null ? percent(one.rating) : `${one.rating.toFixed(1)} ± ${one.deviation.toFixed(1)}`),
        stars(this.about, one.title, null, (value) => this.rate(one, value))))));
    this.before = new Map(recommended.map(({ item }, i) => [item, i]));
    if (focused) this.list.focus();
  }

  /** How an item's place has changed since the list before. */
  moved(item, now) {
    if (this.before === null) return "";
    const then = this.before.get(item);
    if (then === undefined) return h("span", { class: "tag" }, "new");
    if (then === now) return "";
    return h("span", { class: "tag quiet" }, `${then > now ? "↑" : "↓"} ${Math.abs(then - now)}`);
  }

  /** A form to have the server keep the ratings under a name, or to go on with those of a name. */
  keeping() {
    if (this.who !== null) return h("p", { class: "soft small" }, "Every rating is kept at once. “Forget me” erases them all.");
    const failed = new Message();
    const field = h("input", { id: "who", required: true, maxlength: 256, pattern: NAME, autocomplete: "off", spellcheck: "false", dir: "auto", "aria-describedby": "who-help" });
    const keep = h("button", {}, "Keep my ratings");
    const called = () => field.value.trim().normalize("NFC");
    const open = (who) => {
      remember(this.name, []);
      rememberFeatures(this.name, null, {});
      location.hash = `#/recommend/${encodeURIComponent(this.name)}/${encodeURIComponent(who)}`;
    };
    return h("form", { class: "keeping", onsubmit: async (event) => {
      event.preventDefault();
      failed.clear();
      await busy(keep, async () => {
        try {
          const { name } = await api.meet(this.name, { name: called(), ...this.rated });
          rememberFeatures(this.name, name, this.features);  // the same one, under a name
          open(name);
        } catch (problem) {
          failed.show(problem, problem.status === 409 ? button(`Go on as ${called()}`, () => open(called())) : null);
        }
      });
    } },
      h("div", { class: "field" }, h("label", { for: "who" }, "Keep them under a name"), field,
        h("p", { class: "help", id: "who-help" }, "Whoever may use this page can open a name and see its ratings.")),
      failed.element, keep);
  }

  async forget() {
    const agreed = await confirm(`Forget ${this.who}?`, "All ratings of this name are erased from the service. This can't be taken back.", "Forget me");
    if (!agreed) return;
    await this.error.attempt(async () => {
      await api.forgetPerson(this.name, this.who);
      rememberFeatures(this.name, this.who, {});
      announce(`Forgot ${this.who}`);
      location.hash = `#/recommend/${encodeURIComponent(this.name)}`;
    });
  }
}

/** What raises a rating, each with how much. */
const reasons = (before, all) => (all.length ? h("p", { class: "small soft clip" }, before,
  all.map(({ title, share }, k) => [k ? ", " : "", h("span", { dir: "auto" }, title), ` (+${share.toFixed(2)})`]).flat()) : "");

const place = (name) => `innerloop-ratings-${name}`;
const remembered = (name) => JSON.parse(sessionStorage.getItem(place(name)) ?? "[]");
const remember = (name, ratings) => sessionStorage.setItem(place(name), JSON.stringify(ratings));
const about = (name, who) => `${place(name)}/features/${who ?? ""}`;
const KINDS = { number: (value) => typeof value === "number", category: (value) => typeof value === "string", categories: Array.isArray };
/** Of those that the run has now, which may be another run of that name since. */
const rememberedFeatures = (name, who, known) => {
  const values = JSON.parse(sessionStorage.getItem(about(name, who)) ?? "{}");
  return Object.fromEntries(known.filter((one) => one.name in values && KINDS[one.kind](values[one.name])).map((one) => [one.name, values[one.name]]));
};
const rememberFeatures = (name, who, features) => sessionStorage.setItem(about(name, who), JSON.stringify(features));
const split = (text) => text.split("|").map((one) => one.trim()).filter(Boolean);

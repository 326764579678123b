// One tagger: texts in, coloured entities out, corrections as new examples; its versions below.

import * as api from "./api.js";
import { Message, announce, busy, button, confirm, count, h } from "./dom.js";
import { Tagged, hue } from "./tagged.js";
import { Versions } from "./versions.js";

/** What was noticed in files of which taggers were made, by their names; shown once, when they are opened. */
export const noticed = new Map();

/** Fills `place`; nothing needs stopping when it is left. */
export async function taggerPage(place, name) {
  const view = new View(place, await api.tagger(name));
  noticed.delete(name);
  await view.show(view.tagger);
  return () => {};
}

class View {
  constructor(place, tagger) {
    this.name = tagger.name;
    this.tagger = tagger;
    this.order = [];  // of types by their colours, which stay when another one comes
    this.error = new Message();
    this.facts = h("p", { class: "facts soft" });
    this.known = h("ul", { class: "types", "aria-label": "Types" });
    this.text = h("textarea", { id: "text", rows: 5, required: true, dir: "auto", "aria-describedby": "text-help" });
    this.ask = h("button", { class: "primary" }, "Tag");
    this.failed = new Message();
    this.answered = null;  // the version that tagged what is shown
    this.stale = h("p", { class: "stale soft small", role: "status", hidden: true });
    this.answers = h("ol", { class: "tags", "aria-label": "Tagged texts" });
    this.versions = new Versions((to, seen) => this.change(() => api.undoTagger(this.name, to, seen), `Went back to version ${to}`), sizes, (action) => (action === "fit" ? "first sentences" : action));
    place.replaceChildren(
      h("div", { class: "head" },
        h("div", { class: "clip" }, h("p", { class: "crumb" }, h("a", { href: "#/taggers" }, "Taggers"), " /"), h("h1", { dir: "auto" }, tagger.name), this.facts),
        h("div", { class: "buttons" },
          button("Download", () => this.error.attempt(() => api.downloadTagger(this.name)), { title: "One file that innerloop ner predict reads" }),
          button("Delete", () => this.remove(), { class: "quiet", "aria-label": "Delete the tagger" }))),
      this.error.element,
      ...(noticed.get(this.name) ?? []).map((notice) => h("p", { class: "soft small", role: "status" }, notice)),
      h("div", { class: "columns" },
        h("section", { class: "panel", "aria-labelledby": "try" },
          h("h2", { id: "try" }, "Tag a text"),
          h("form", { onsubmit: async (event) => {
            event.preventDefault();
            await busy(this.ask, () => this.tag());
          } },
            h("div", { class: "field" }, h("label", { for: "text" }, "Text"), this.text,
              h("p", { class: "help", id: "text-help" }, "A sentence a line. Where it is wrong, choose words (drag over them, or arrow keys with Shift), give them a type, and have it learn the corrected text.")),
            this.failed.element, h("div", { class: "buttons" }, this.ask)),
          this.stale, this.answers),
        h("div", {}, h("section", { class: "panel", "aria-labelledby": "types" }, h("h2", { id: "types" }, "What it knows"), this.known), this.versions.element)));
  }

  get types() {
    return this.tagger.types.map(({ type }) => type);
  }

  async show(tagger) {
    const versions = await api.taggerVersions(this.name);
    this.tagger = tagger;
    this.order.push(...this.types.filter((type) => !this.order.includes(type)));
    this.stale.hidden = this.answered === null || this.answered === tagger.version;
    this.stale.textContent = `Tagged by version ${this.answered}: tag again to see what has changed.`;
    this.facts.textContent = [`Words by ${tagger.source}`, count(tagger.types.length, "type"), count(tagger.sentences, "sentence"), `version ${tagger.version}`].join(" · ");
    this.known.replaceChildren(...tagger.types.map(({ type, entities }) => h("li", {},
      h("span", { class: `swatch ${hue(this.order, type)}` }, type), h("span", { class: "soft small" }, count(entities, "entity", "entities")),
      button("Drop", () => this.drop(type), { class: "tiny", "aria-label": `Drop the type ${type}` }))));
    this.versions.show(versions, tagger.version);
  }

  /** A change of our own, and the tagger as it is then. */
  async change(work, said) {
    await this.error.attempt(async () => {
      try {
        await work();
        announce(said);
      } finally {
        await this.show(await api.tagger(this.name));
      }
    });
  }

  async tag() {
    this.failed.clear();
    try {
      const texts = this.text.value.split("\n").filter((line) => line.trim());
      const { version, texts: answers } = await api.tag(this.name, texts);
      const learn = async (sentence) => {
        await api.teachTagger(this.name, [sentence]);
        announce("Learned");
        await this.show(await api.tagger(this.name));
      };
      this.answered = version;
      this.stale.hidden = true;
      this.answers.replaceChildren(...answers.map((one) => new Tagged(one, this.order, learn).element));
      const found = answers.reduce((sum, { entities }) => sum + entities.length, 0);
      announce(`${count(found, "entity", "entities")} in ${count(answers.length, "text")}`);
    } catch (problem) {
      this.failed.show(problem);
    }
  }

  async drop(type) {
    await this.change(() => api.dropType(this.name, type, this.tagger.version), `Dropped ${type}`);
  }

  async remove() {
    const agreed = await confirm(`Delete ${this.name}?`, "The tagger, its sentences and all its versions go. This can't be taken back; download it first if you may want it again.", "Delete the tagger");
    if (!agreed) return;
    await this.error.attempt(async () => {
      await api.deleteTagger(this.name);
      announce(`Deleted ${this.name}`);
      location.hash = "#/taggers";
    });
  }
}

const sizes = ({ types, sentences }) => `${count(types, "type")}, ${count(sentences, "sentence")}`;

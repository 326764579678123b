// The form that makes a tagger: of a file, of what is pasted, or of sentences whose entities are marked here.

import * as api from "./api.js";
import { Message, announce, busy, button, count, h } from "./dom.js";
import { Tagged } from "./tagged.js";
import { noticed } from "./tagger.js";

const CONLL = "Ms\tB-customer\nKeller\tI-customer\nbrings\tO\nher\tO\nCube\tB-bike\nNature\tI-bike\n\nThe\tO\nbell\tB-part\n...";
const JSONL = '{"text": "Ms Keller waits.", "entities": [{"start": 0, "end": 9, "type": "customer"}]}';
const READS = {
  entities: "English. It has learned what types of names are on other texts: take this one.",
  minilm: "English, from a network that has seen no types of names.",
  "use-multilingual": "16 languages, Chinese among them; much weaker in English than the others.",
};
const WAYS = { mark: "Mark entities here", paste: "Paste tagged text", file: "Choose a file" };

/** The form, with what is marked below its fields. */
export const newTagger = (sources) => new Beginning(sources).element;

class Beginning {
  constructor(sources) {
    this.error = new Message();
    this.types = [];  // by their colours, in all sentences that are marked
    this.marked = null;  // sentences that are cut into words
    this.name = h("input", { id: "name", required: true, maxlength: 256, autocomplete: "off", spellcheck: "false", dir: "auto" });
    this.source = h("select", { id: "source", required: true, "aria-describedby": "source-help" }, sources.map((one) => h("option", { value: one }, one)));
    const about = h("p", { class: "help", id: "source-help" });
    const explain = () => { about.textContent = sources.length ? READS[this.source.value] ?? "" : "This service offers none: install innerloop[minilm] beside it."; };
    this.source.addEventListener("change", explain);
    explain();
    // What was wrong with other sentences is nothing to stand beside these.
    const clear = () => this.error.clear();
    this.file = h("input", { type: "file", id: "file", required: true, "aria-describedby": "file-help", onchange: clear });
    this.pasted = h("textarea", { id: "pasted", rows: 8, required: true, dir: "auto", spellcheck: "false", class: "code", "aria-describedby": "pasted-help", oninput: clear });
    this.plain = h("textarea", { id: "plain", rows: 6, required: true, dir: "auto", "aria-describedby": "plain-help", oninput: clear });
    this.facts = h("p", { class: "soft small", role: "status" });
    this.sentences = h("ol", { class: "tags", "aria-label": "Sentences to mark" });
    this.marks = h("div", { class: "marks", hidden: true },
      h("p", { class: "help" }, "Choose words (drag over them, or arrow keys with Shift) and give them a type. What has no mark is an example of what is no entity."),
      this.sentences, h("div", { class: "inline" }, this.facts, button("Change the sentences", () => this.back(), { class: "link" })));
    this.fields = {
      mark: way(h("label", { for: "plain" }, "Sentences"), this.plain,
        h("p", { class: "help", id: "plain-help" }, "A sentence a line, without any tags. Five that show each type are a start.")),
      paste: way(h("label", { for: "pasted" }, "CoNLL or JSON"), this.pasted,
        h("p", { class: "help", id: "pasted-help" }, "As innerloop ner adapt reads them from files."), looks("How such a text looks")),
      file: way(h("label", { for: "file" }, "Tagged sentences"), this.file,
        h("p", { class: "help", id: "file-help" }, "CoNLL or JSON, as innerloop ner adapt reads them; or a .fewshot file that it wrote, with all its versions."), looks("How such a file looks")),
    };
    this.submit = h("button", { class: "primary", form: "new-tagger" });
    this.form = h("form", { id: "new-tagger", "aria-labelledby": "new-title", onsubmit: async (event) => {
      event.preventDefault();
      this.error.clear();
      await busy(this.submit, () => this.attempt());
    } },
      h("div", { class: "field" }, h("label", { for: "name" }, "Name"), this.name),
      h("fieldset", { class: "choices ways", onchange: () => this.turn() }, h("legend", {}, "What it learns from"),
        h("div", {}, Object.entries(WAYS).map(([value, label]) => h("label", { class: "choice" },
          h("input", { type: "radio", name: "way", value, checked: value === "mark" }), h("span", {}, label))))),
      Object.values(this.fields),
      h("div", { class: "field" }, h("label", { for: "source" }, "What reads the words"), this.source, about));
    // Marks are chosen with small forms of their own, which may not stand inside another one.
    this.element = h("section", { class: "panel", "aria-labelledby": "new-title" },
      h("h2", { id: "new-title" }, "New tagger"), this.form, this.marks, this.error.element, this.submit);
    this.turn();
  }

  get way() {
    return new FormData(this.form).get("way");
  }

  /** Shows the fields of the way that is chosen; those of others need not be filled. */
  turn() {
    this.error.clear();
    const marking = this.way === "mark" && this.marked !== null;
    for (const [name, field] of Object.entries(this.fields)) field.hidden = field.disabled = name !== this.way || marking;
    this.marks.hidden = !marking;
    this.submit.textContent = this.way === "mark" && !marking ? "Go on to mark them" : "Make the tagger";
  }

  async attempt() {
    try {
      if (this.way === "mark" && this.marked === null) {
        await this.cut();
        return;
      }
      const tagger = await this.make(this.name.value.trim().normalize("NFC"), this.source.value);
      announce(`Made ${tagger.name}`);
      noticed.set(tagger.name, tagger.notices ?? []);
      location.hash = `#/taggers/${encodeURIComponent(tagger.name)}`;
    } catch (problem) {
      this.error.show(problem);
    }
  }

  make(name, source) {
    if (this.way === "file") return api.importTagger(name, source, this.file.files[0]);
    if (this.way === "mark") return api.createTagger(name, source, this.marked.map((one) => one.sentence));
    const text = this.pasted.value;
    return api.importTagger(name, source, new File([text], isJson(text) ? "pasted.json" : "pasted.conll"));
  }

  /** Has the sentences cut into words; what was marked in one that has not changed stays. */
  async cut() {
    const before = new Map(this.before?.map((one) => [one.text, one]) ?? []);
    const { texts } = await api.words(this.plain.value.split("\n").filter((line) => line.trim()));
    this.marked = texts.map(({ text, words }) => before.get(text) ?? new Tagged({ text, words, entities: [] }, this.types, null, () => this.tell()));
    this.sentences.replaceChildren(...this.marked.map((one) => one.element));
    this.tell();
    this.turn();
    this.marked[0].line.focus();
  }

  back() {
    [this.before, this.marked] = [this.marked, null];
    this.turn();
    this.plain.focus();
  }

  tell() {
    const entities = this.marked.flatMap((one) => one.entities);
    const types = new Set(entities.map(({ type }) => type));
    this.facts.textContent = entities.length
      ? `${count(entities.length, "entity", "entities")} of ${count(types.size, "type")} in ${count(this.marked.length, "sentence")}`
      : "Nothing is marked yet";
  }
}

const way = (...children) => h("fieldset", { class: "field way" }, children);

/** A word may be a bracket; what follows it is a tag then, and no JSON. */
const isJson = (text) => /^\s*(\[\s*[{\]]|\{\s*["}])/.test(text);

const looks = (title) => h("details", { class: "reading" }, h("summary", {}, title),
  h("p", { class: "help" }, "A word a line, then a tab or blanks, then its tag: B- where an entity begins, I- where it goes on, O for all others. A blank line ends a sentence. Five sentences that show each type are a start."),
  h("pre", { class: "small" }, CONLL),
  h("p", { class: "help" }, "Or JSON, an object a line, whose places count characters from 0:"),
  h("pre", { class: "small" }, JSONL));

// The list of taggers, and the form that makes one of tagged sentences.

import * as api from "./api.js";
import { Message, ago, announce, busy, count, h } from "./dom.js";
import { noticed } from "./tagger.js";

/** Fills `place`; nothing needs stopping when it is left. */
export async function taggersPage(place) {
  const { taggers, sources } = await api.taggers();
  place.replaceChildren(
    h("h1", {}, "Taggers"),
    h("p", { class: "lead" }, "Teach a model to find names, places or parts in texts, from a handful of tagged sentences."),
    h("div", { class: "columns" },
      h("section", { "aria-label": "Your taggers" }, taggers.length ? list(taggers) : h("div", { class: "empty" },
        h("h2", {}, "Nothing taught yet"),
        h("p", {}, "Give it a file of tagged sentences: a word a line with its tag (CoNLL), or JSON with the places of entities."))),
      newTagger(sources)));
  return () => {};
}

const CONLL = "Ms\tB-customer\nKeller\tI-customer\nbrings\tO\nher\tO\nCube\tB-bike\nNature\tI-bike\n\nThe\tO\nbell\tB-part\n...";
const JSONL = '{"text": "Ms Keller waits.", "entities": [{"start": 0, "end": 9, "type": "customer"}]}';
const READS = {
  entities: "English. It has learned what types of names are on other texts: take this one.",
  minilm: "English, from a network that has seen no types of names.",
  "use-multilingual": "16 languages, Chinese among them; much weaker in English than the others.",
};

const open = (name) => { location.hash = `#/taggers/${encodeURIComponent(name)}`; };

function list(taggers) {
  const newest = [...taggers].sort((a, b) => b.created.localeCompare(a.created));
  return h("ul", { class: "cards" }, newest.map((tagger) => h("li", {},
    h("a", { class: "card", href: `#/taggers/${encodeURIComponent(tagger.name)}` },
      h("strong", { dir: "auto" }, tagger.name),
      h("span", { class: "soft" }, `${tagger.types.map(({ type }) => type).join(", ")} · ${count(tagger.sentences, "sentence")}`),
      h("span", { class: "soft small" }, `${tagger.source} · made ${ago(tagger.created)}`)))));
}

function newTagger(sources) {
  const error = new Message();
  const name = h("input", { id: "name", required: true, maxlength: 256, autocomplete: "off", spellcheck: "false", dir: "auto" });
  const source = h("select", { id: "source", "aria-describedby": "source-help" }, sources.map((one) => h("option", { value: one }, one)));
  // What was wrong with another file is nothing to stand beside this one.
  const file = h("input", { type: "file", id: "file", required: true, "aria-describedby": "file-help", onchange: () => error.clear() });
  const about = h("p", { class: "help", id: "source-help" });
  const explain = () => { about.textContent = READS[source.value] ?? ""; };
  source.addEventListener("change", explain);
  explain();
  const submit = h("button", { class: "primary" }, "Make the tagger");
  return h("form", { class: "panel", "aria-labelledby": "new-title", onsubmit: async (event) => {
    event.preventDefault();
    error.clear();
    await busy(submit, async () => {
      try {
        const [chosen] = file.files;
        const called = name.value.trim().normalize("NFC");
        const tagger = await api.importTagger(called, source.value, chosen);
        announce(`Made ${tagger.name}`);
        noticed.set(tagger.name, tagger.notices);
        open(tagger.name);
      } catch (problem) {
        error.show(problem);
      }
    });
  } },
    h("h2", { id: "new-title" }, "New tagger"),
    h("div", { class: "field" }, h("label", { for: "name" }, "Name"), name),
    h("div", { class: "field" }, h("label", { for: "file" }, "Tagged sentences"), file,
      h("p", { class: "help", id: "file-help" }, "CoNLL or JSON, as innerloop ner adapt reads them; or a .fewshot file that it wrote, with all its versions."),
      h("details", { class: "reading" }, h("summary", {}, "How such a file looks"),
        h("p", { class: "help" }, "A word a line, then a tab or blanks, then its tag: B- where an entity begins, I- where it goes on, O for all others. A blank line ends a sentence. Five sentences that show each type are a start."),
        h("pre", { class: "small" }, CONLL),
        h("p", { class: "help" }, "Or JSON, an object a line, whose places count characters from 0:"),
        h("pre", { class: "small" }, JSONL))),
    h("div", { class: "field" }, h("label", { for: "source" }, "What reads the words"), source, about),
    error.element, submit);
}

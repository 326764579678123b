// The list of taggers, beside the form that makes one.

import * as api from "./api.js";
import { newTagger } from "./begin.js";
import { ago, count, h } from "./dom.js";

/** Fills `place`; nothing needs stopping when it is left. */
export async function taggersPage(place) {
  const { taggers, sources } = await api.taggers();
  place.replaceChildren(
    h("h1", {}, "Taggers"),
    h("p", { class: "lead" }, "Teach a model to find names, places or parts in texts, from a handful of tagged sentences."),
    h("div", { class: "columns" },
      h("section", { "aria-label": "Your taggers" }, taggers.length ? list(taggers) : h("div", { class: "empty" },
        h("h2", {}, "Nothing taught yet"),
        h("p", {}, "Write a few sentences and mark what is to be found in them, or give it sentences that are tagged already: a word a line with its tag (CoNLL), or JSON with the places of entities."))),
      newTagger(sources)));
  return () => {};
}

function list(taggers) {
  const newest = [...taggers].sort((a, b) => b.created.localeCompare(a.created));
  return h("ul", { class: "cards" }, newest.map((tagger) => h("li", {},
    h("a", { class: "card", href: `#/taggers/${encodeURIComponent(tagger.name)}` },
      h("strong", { dir: "auto" }, tagger.name),
      h("span", { class: "soft" }, `${tagger.types.map(({ type }) => type).join(", ")} · ${count(tagger.sentences, "sentence")}`),
      h("span", { class: "soft small" }, `${tagger.source} · made ${ago(tagger.created)}`)))));
}

// The list of recommenders, each a run on ratings that the server has.

import * as api from "./api.js";
import { count, h } from "./dom.js";

/** Fills `place`; nothing needs stopping when it is left. */
export async function recommendersPage(place) {
  const all = await api.recommenders();
  place.replaceChildren(
    h("h1", {}, "Recommend"),
    h("p", { class: "lead" }, "Rate a few things, and see what you may like, and why."),
    all.length ? h("ul", { class: "cards" }, all.map(card)) : h("div", { class: "empty" },
      h("h2", {}, "No recommender here"),
      h("p", {}, "Train one on ratings, and serve its run:"),
      h("pre", {}, "innerloop train alpaca --data movielens --out films\ninnerloop serve films --store store")));
  return () => {};
}

const card = ({ name, items, lowest, highest, behaviour, people }) => h("li", {},
  h("a", { class: "card", href: `#/recommend/${encodeURIComponent(name)}` },
    h("strong", { dir: "auto" }, name),
    h("span", { class: "soft" }, behaviour ? `${count(items, "item")}, by what people took` : `${count(items, "item")}, rated from ${lowest} to ${highest}`),
    h("span", { class: "soft small" }, people ? `knows ${count(people, "person", "people")}` : "knows nobody yet")));

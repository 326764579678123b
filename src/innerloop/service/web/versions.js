// Every version there was, with a way back to each.

import { ago, button, h } from "./dom.js";

const SHOWN = 10;  // shown before "Show all"

/** The versions of something. `goBack`: takes it to one of them from the one that is shown; `sizes`: what there is in one, in words; `says`: what an action is called. */
export class Versions {
  constructor(goBack, sizes, says = (action) => action) {
    this.goBack = goBack;
    this.says = says;
    this.sizes = sizes;
    this.all = false;
    this.element = h("section", { class: "history", "aria-labelledby": "versions" });
  }

  /** Draws them, the newest first; `now` is the number of the one that answers. */
  show(versions, now) {
    const newest = [...versions].sort((a, b) => b.version - a.version);
    const shown = this.all ? newest : newest.slice(0, SHOWN);
    const focused = this.element.contains(document.activeElement) ? document.activeElement.dataset.version : null;
    this.element.replaceChildren(
      h("h2", { id: "versions" }, "Versions"),
      h("p", { class: "soft small" }, "Every change makes one. Going back makes a new version equal to the old one, so nothing is lost."),
      h("ol", { class: "versions" }, shown.map((v) => this.row(v, now))),
      shown.length < newest.length ? button(`Show all ${newest.length}`, () => {
        this.all = true;
        this.show(versions, now);
      }, { class: "link" }) : "");
    if (focused) this.element.querySelector(`[data-version="${focused}"]`)?.focus();
  }

  row(v, now) {
    return h("li", { class: v.version === now ? "now" : null, "aria-current": v.version === now ? "true" : null },
      h("span", { class: "number" }, v.version),
      h("span", { class: "what" }, h("span", { class: "clip" }, this.says(v.action)),
        h("span", { class: "soft small" }, `${ago(v.time)} · ${this.sizes(v)}`)),
      v.version === now ? h("span", { class: "tag" }, "now") : button("Go back", () => this.goBack(v.version, now),
        { "data-version": v.version, "aria-label": `Go back to version ${v.version}` }));
  }
}

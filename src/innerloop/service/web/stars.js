// A rating as stars: one radio button for each, so that keys, fingers and screen readers all work. Of what people took, a checkbox.

import { h, unique } from "./dom.js";

const MOST = 10;  // stars; longer scales are typed

/** The whole numbers of a scale, where they are few enough to be stars. */
export function steps({ lowest, highest }) {
  const first = Math.max(1, Math.ceil(lowest));
  const all = Array.from({ length: Math.max(0, Math.floor(highest) - first + 1) }, (_, i) => first + i);
  return lowest >= 0 && all.length > 1 && all.length <= MOST ? all : null;
}

/** Stars for an item. `value`: its rating, or null; `rate`: hears of another one. */
export function stars(scale, title, value, rate) {
  if (scale.behaviour) {
    const field = h("input", { type: "checkbox", checked: value !== null, onchange: () => rate(field.checked ? 1 : null) });
    return h("label", { class: "check" }, field, h("span", {}, "taken", h("span", { class: "unseen" }, `: ${title}`)));
  }
  const all = steps(scale);
  if (!all) {
    const field = h("input", { type: "number", min: scale.lowest, max: scale.highest, step: "any", value, "aria-label": `Your rating of ${title}`,
      onchange: () => { if (field.value !== "" && field.checkValidity()) rate(Number(field.value)); } });
    return h("span", { class: "inline" }, field);
  }
  const name = unique("stars");
  return h("fieldset", { class: "stars" },
    h("legend", { class: "unseen" }, `Your rating of ${title}`),
    all.map((n) => h("label", {},
      h("input", { type: "radio", class: "unseen", name, value: n, checked: value !== null && Math.round(value) === n, "aria-label": `${n} of ${all.at(-1)}`, onchange: () => rate(n) }),
      h("span", { "aria-hidden": "true" }))));
}

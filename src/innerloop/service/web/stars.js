// A rating as stars: one radio button for each, or two where ratings come in halves, so that keys, fingers and screen readers all work.
// Of what people took, a checkbox.

import { h, unique } from "./dom.js";

const MOST = 10;  // buttons; longer scales are typed

/** The ratings of a scale above 0, where they are whole or halves and few enough to be stars. */
export function steps({ lowest, highest, step }) {
  if (step === null || lowest < 0 || highest / step > MOST) return null;
  const all = Array.from({ length: Math.floor(highest / step) }, (_, i) => (i + 1) * step).filter((n) => n >= lowest);
  return all.length > 1 ? all : null;
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
    all.map((n) => h("label", { class: scale.step === 1 ? null : n % 1 ? "left half" : "right half" },
      h("input", { type: "radio", class: "unseen", name, value: n, checked: value !== null && Math.round(value / scale.step) * scale.step === n, "aria-label": `${n} of ${all.at(-1)}`, onchange: () => rate(n) }),
      h("span", { "aria-hidden": "true" }))));
}

// Whether a task still answers what it was taught: by feedback to its answers, and by how far what it is asked lies.

import { ago, count, h, percent } from "./dom.js";

/** What is said of a task's drift; nothing before anything was noted. */
export function driftOf({ drift }) {
  if (!drift) return "";
  const { accuracy, distance } = drift;
  const lines = [];
  if (accuracy.count) lines.push(`${percent(accuracy.recent)} of the last answers with feedback were right (${count(accuracy.count, "feedback")} so far).`);
  if (distance.count) lines.push(`What is asked lies ${relative(distance)} what was asked before (${count(distance.count, "request")} so far).`);
  if (!lines.length) return "";
  const since = [accuracy.since, distance.since].filter(Boolean).sort()[0];
  return h("section", { class: "drift", "aria-labelledby": "drift" },
    h("h2", { id: "drift" }, "Does it still fit?"),
    drift.drift ? h("p", { class: "notice", role: "status" }, `Drift, first seen ${ago(since)}: ${drift.reason}.`) : "",
    ...lines.map((line) => h("p", { class: "soft small" }, line)));
}

function relative({ recent, usual }) {
  const times = recent / usual;
  return times > 1.1 || times < 0.9 ? `${times.toFixed(1)} times as far from its classes as` : "as far from its classes as";
}

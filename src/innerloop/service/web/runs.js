// The runs folder: which runs there are, their learning curves, and how they compare on the same tasks.

import * as api from "./api.js";
import { Message, announce, count, h, unique } from "./dom.js";
import { curves } from "./curves.js";

const AT_FIRST = 4;  // runs shown before the person chooses

/** Fills `place` with the runs; `chosen` are the names in the address. */
export async function runsPage(place, [chosen]) {
  const runs = await api.runs();
  place.replaceChildren(h("h1", {}, "Runs"), h("p", { class: "lead" }, "What was meta-trained here, and what it scored."));
  if (!runs.length) {
    place.append(h("div", { class: "empty" },
      h("h2", {}, "No runs to show"),
      h("p", {}, "Meta-train one, and start the service with the folder it is in:"),
      h("pre", { tabindex: 0 }, "innerloop train protonet --data kanji --out runs/p\ninnerloop test runs/p\ninnerloop serve --store store --runs runs")));
    return () => {};
  }
  const names = runs.map((run) => run.name);
  const wanted = (chosen ?? "").split(",").filter((name) => names.includes(name));
  const picked = new Set(wanted.length ? wanted : names.slice(0, AT_FIRST));
  const detail = h("div", {});
  const error = new Message();
  const loaded = new Map();
  let drawing = 0;
  let stop = () => {};

  async function draw() {
    const mine = ++drawing;
    error.clear();
    try {
      const shown = names.filter((name) => picked.has(name));
      for (const name of shown) if (!loaded.has(name)) loaded.set(name, { name, ...(await api.run(name)) });
      const comparisons = shown.length ? await api.comparisons(shown) : [];
      if (mine !== drawing) return;
      stop();
      const details = shown.map((name) => loaded.get(name));
      const plots = h("div", { class: "plots" });
      detail.replaceChildren(
        h("section", { "aria-labelledby": "curves" }, h("h2", { id: "curves" }, "Learning curves"), plots),
        h("section", { "aria-labelledby": "results" }, h("h2", { id: "results" }, "Results"), tables(details, comparisons)));
      const end = await curves(plots, details);
      // Plotly may come late, when other runs are drawn already: their curves are what there is to stop then.
      if (mine === drawing) stop = end;
      else end();
    } catch (problem) {
      error.show(problem);
    }
  }

  function choose(name, on) {
    if (on) picked.add(name);
    else picked.delete(name);
    history.replaceState(null, "", `#/runs/${encodeURIComponent([...picked].join(","))}`);
    announce(`${count(picked.size, "run")} shown`);
    draw();
  }

  place.append(list(runs, picked, choose), error.element, detail);
  await draw();
  return () => { drawing = NaN; stop(); };  // equal to no drawing, those that are under way among them
}

function list(runs, picked, choose) {
  return h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "The runs" },
    h("table", {},
      h("thead", {}, h("tr", {}, ["Show", "Run", "Learner", "Data", "Steps", "Tests"].map((word) => h("th", { scope: "col", class: word === "Steps" ? "right" : null }, word)))),
      h("tbody", {}, runs.map((run) => h("tr", {},
        h("td", {}, h("label", { class: "tick" }, h("input", { type: "checkbox", checked: picked.has(run.name), "aria-label": `Show ${run.name}`,
          onchange: (event) => choose(run.name, event.target.checked) }))),
        h("th", { scope: "row" }, run.name),
        h("td", {}, run.learner ?? "–"), h("td", {}, run.data ?? "–"), h("td", { class: "right" }, (run.steps ?? 0).toLocaleString("en")),
        h("td", {}, tested(run.tests)))))));
}

/** A run's own number, never a baseline's; those of the parameters as they are come first. */
function tested(tests) {
  const [first, ...more] = tests.filter((test) => !test.error && !test.baseline);
  const refused = count(tests.filter((test) => test.error).length, "result");
  if (first) return [score(first) + (more.length ? ` and ${more.length} more` : ""), mark(first)];
  return tests.some((test) => test.error) ? [`${refused} refused`] : ["none yet"];
}

const mark = (test) => (test.mark ? h("span", { class: "tag warn" }, test.mark) : null);

/** As `innerloop compare` prints it. */
const score = (test) => (Number.isFinite(test.mean) ? test.number : "no value");

function tables(details, comparisons) {
  const attention = warnings(details);
  if (!comparisons.length) return h("div", {}, attention, h("p", { class: "soft" }, "None of these was tested yet: innerloop test RUN does it."));
  return h("div", {}, attention, comparisons.map(table),
    h("p", { class: "soft small" }, "Differences are to the first row, episode by episode: where their interval leaves out 0, it is more than the luck of the draw. Tests with unlike protocols are in tables of their own."));
}

/** What must be known of results that are not of their run as it is now, or that were edited. */
function warnings(details) {
  const lines = details.flatMap((run) => (run.tests ?? []).map((test) => test.error ?? test.warning).filter(Boolean).map((text) => h("li", {}, h("strong", {}, `${run.name}: `), text)));
  return lines.length ? h("ul", { class: "error", "aria-label": "Results to renew" }, lines) : null;
}

function table({ hash, conditions, measured, rows }) {
  const current = rows.filter((test) => !test.mark && Number.isFinite(test.mean)).map((test) => test.mean);
  const best = rows[0].higher_is_better ? Math.max(...current) : Math.min(...current);
  const alone = rows.length > 1 && current.filter((mean) => mean === best).length === 1;
  const first = (test) => alone && !test.mark && test.mean === best;
  const id = unique("protocol");
  return h("div", {}, h("h3", { id }, conditions || "One protocol", " ", h("span", { class: "soft small" }, `protocol ${hash}`)), h("div", { class: "scroll", tabindex: 0, role: "region", "aria-labelledby": id },
    h("table", {},
      h("thead", {}, h("tr", {}, ["Run", "Learner", capital(rows[0].title), ...(rows.length > 1 ? ["Difference"] : [])].map((word) => h("th", { scope: "col" }, word)))),
      h("tbody", {}, rows.map((test) => h("tr", { class: first(test) ? "best" : null },
        h("th", { scope: "row" }, test.run, test.baseline ? h("span", { class: "tag quiet" }, `${test.baseline} baseline`) : null),
        h("td", {}, test.learner ?? "–"),
        h("td", {}, score(test), first(test) ? h("span", { class: "tag" }, "best") : null, mark(test)),
        rows.length > 1 ? h("td", {}, test.difference ?? "–") : null))))),
    h("p", { class: "soft small" }, measured));
}

const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

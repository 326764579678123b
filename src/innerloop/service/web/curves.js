// Learning curves, drawn by plotly from the service itself.

import { h } from "./dom.js";

const POINTS = 120;  // of one line; more are averaged
const DASHES = ["solid", "dash", "dot", "dashdot", "longdash"];  // lines differ by more than colour
const LIGHT = ["#5b3df0", "#b45309", "#047857", "#be185d", "#0369a1", "#4d7c0f"];
const DARK = ["#a594ff", "#fbbf24", "#34d399", "#f472b6", "#38bdf8", "#a3e635"];
const THINGS = ["loss", "score", "validation"];
let loading = null;

/** Plotly is large, so it is fetched when a curve is to be drawn, once. */
function plotly() {
  loading ??= new Promise((resolve, reject) => {
    // Plotly writes its rules into a style element unless this says that the style sheet has them: no inline style is allowed here.
    document.head.append(h("link", { id: "plotly.js-style-global", class: "no-inline-styles", rel: "prefetch" }));
    document.head.append(h("script", { src: "static/plotly.min.js", onload: () => resolve(window.Plotly),
      onerror: () => { loading = null; reject(new Error("the curves can't be drawn: plotly is missing on the server")); } }));
  });
  return loading;
}

/** Draws one plot for each thing that was logged, of runs with one score; returns what takes them away. */
export async function curves(place, runs) {
  const groups = Object.entries(Object.groupBy(runs, (run) => run.score ?? "score"));
  const wanted = groups.flatMap(([title, group]) => THINGS.map((thing) => ({ thing, runs: group.filter((run) => line(run, thing)), name: named(thing, title, groups.length > 1) })));
  const plots = wanted.filter((plot) => plot.runs.length);
  if (!plots.length) {
    place.append(h("p", { class: "soft" }, runs.length ? "These runs logged no steps." : "Choose a run above."));
    return () => {};
  }
  const Plotly = await plotly();
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const frames = plots.map((plot) => {
    const frame = h("div", { class: "plot", role: "img", "aria-label": describe(plot) });
    place.append(h("figure", {}, h("figcaption", {}, plot.name, h("span", { class: "soft small" }, " by step")), frame));
    return frame;
  });
  // A run keeps its colour and dash in every plot.
  const draw = () => Promise.all(frames.map((frame, i) => Plotly.react(frame, traces(plots[i], runs, dark.matches), layout(frame), { displayModeBar: false, responsive: true })));
  await draw();
  dark.addEventListener("change", draw);
  return () => {
    dark.removeEventListener("change", draw);
    frames.forEach((frame) => Plotly.purge(frame));
  };
}

/** Errors and accuracies have no common axis, and neither have the losses behind them. */
function named(thing, title, several) {
  if (thing === "loss") return several ? `Loss of runs scored by ${title}` : "Loss";
  const name = title.charAt(0).toUpperCase() + title.slice(1);
  return thing === "score" ? `${name} in training` : `${name} on meta-validation tasks`;
}

function line(run, thing) {
  const points = (run.metrics ?? []).map((entry) => [entry.step, value(entry, thing)]).filter(([step, y]) => Number.isFinite(step) && Number.isFinite(y));
  if (!points.length) return null;
  const each = Math.ceil(points.length / POINTS);
  const some = [];
  for (let i = 0; i < points.length; i += each) {
    const part = points.slice(i, i + each);
    some.push([part.at(-1)[0], part.reduce((sum, [, y]) => sum + y, 0) / part.length]);
  }
  return some;
}

const value = (entry, thing) => (thing === "validation" ? entry.validation?.mean ?? entry.validation ?? entry.validation_score : entry[thing]);

function traces({ thing, runs }, all, dark) {
  const colours = dark ? DARK : LIGHT;
  return runs.map((run) => {
    const [points, i] = [line(run, thing), all.indexOf(run)];
    return { x: points.map((p) => p[0]), y: points.map((p) => p[1]), name: run.name, mode: points.length > 1 ? "lines" : "markers",
      line: { color: colours[i % colours.length], width: 2, dash: DASHES[i % DASHES.length] } };
  });
}

function layout(frame) {
  const style = getComputedStyle(frame);
  const ink = style.getPropertyValue("--soft").trim();
  const grid = style.getPropertyValue("--line").trim();
  const axis = { color: ink, gridcolor: grid, zeroline: false, linecolor: grid, automargin: true };
  return { height: 300, margin: { l: 48, r: 8, t: 8, b: 40 }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: style.fontFamily, color: ink, size: 13 }, xaxis: axis, yaxis: axis,
    showlegend: true, legend: { orientation: "h", y: -0.18, yanchor: "top" }, hovermode: "x unified",
    hoverlabel: { bgcolor: style.getPropertyValue("--panel").trim(), font: { color: style.getPropertyValue("--ink").trim() } } };
}

function describe({ thing, runs, name }) {
  const ends = runs.map((run) => {
    const points = line(run, thing);
    return `${run.name} from ${points[0][1].toPrecision(3)} to ${points.at(-1)[1].toPrecision(3)} after ${points.at(-1)[0]} steps`;
  });
  return `${name}: ${ends.join("; ")}`;
}

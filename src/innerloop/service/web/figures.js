// The figures of an evaluation, as its HTML report draws them: what is taken for what, and risk against coverage.

import { count, h, unique } from "./dom.js";

const READABLE = 12;  // classes whose matrix is a table; more are a picture
const CONFUSED = 20;  // pairs of classes that are listed
const NONE = "none of these";
const [WIDTH, HEIGHT, LEFT, BOTTOM, EDGE] = [360, 240, 48, 44, 12];  // of a drawing, in its own units
const STEPS = [0.01, 0.02, 0.05, 0.1, 0.2, 0.25];

const exact = (share) => `${(100 * share).toFixed(1)}%`;

/** An element of a drawing; `title` is what is said of it when it is pointed at. */
function s(tag, { title, ...attributes } = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (title) element.append(s("title", {}, title));
  element.append(...children.flat(Infinity));
  return element;
}

const text = (x, y, content, anchor = "middle", more = {}) => s("text", { x, y, "text-anchor": anchor, ...more }, String(content));

/** How often the task would be wrong if it answered only what it is surest of. */
export function riskCoverage({ risk_coverage: { area, points } }) {
  const at = (wanted) => points.reduce((best, point) => (Math.abs(point[0] - wanted) < Math.abs(best[0] - wanted) ? point : best));
  const [half, all] = [at(0.5), points.at(-1)];
  const words = `${exact(half[1])} wrong at ${Math.round(100 * half[0])}% answered, ${exact(all[1])} at all`;
  const most = Math.max(...points.map(([, risk]) => risk), 0.01);
  const step = STEPS.find((one) => most / one <= 5) ?? STEPS.at(-1);
  const top = Math.ceil(most / step - 1e-9) * step;
  const x = (share) => LEFT + share * (WIDTH - LEFT - EDGE);
  const y = (risk) => HEIGHT - BOTTOM - (risk / top) * (HEIGHT - BOTTOM - EDGE);
  const lines = Array.from({ length: Math.round(top / step) + 1 }, (_, i) => i * step);
  const line = points.map(([share, risk]) => `${x(share).toFixed(1)},${y(risk).toFixed(1)}`).join(" ");
  return figure("Risk against coverage",
    s("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `Risk against coverage: ${words}` },
      lines.map((risk) => [s("line", { class: "grid", x1: x(0), x2: x(1), y1: y(risk), y2: y(risk) }), text(LEFT - 8, y(risk) + 4, Math.round(100 * risk), "end")]),
      [0, 0.25, 0.5, 0.75, 1].map((share) => text(x(share), HEIGHT - BOTTOM + 18, 100 * share)),
      text(x(0.5), HEIGHT - 6, "examples answered (%)"),
      text(0, 0, "of them wrong (%)", "middle", { transform: `translate(13 ${y(top / 2)}) rotate(-90)` }),
      s("polyline", { class: "line", points: line }), s("circle", { class: "dot", cx: x(all[0]), cy: y(all[1]), r: 3.5 })),
    `${words}; area ${exact(area)}. The surest are answered first.`);
}

/** The confusion matrix: true classes down, answers across. */
export function confusion({ confusion: { classes, counts }, reject }) {
  const refused = reject !== null || counts.some((row) => row.at(-1));
  const columns = refused ? [...classes, NONE] : classes;
  const rows = counts.map((row) => row.slice(0, columns.length));
  if (classes.length <= READABLE) return figure("What is taken for what", table(classes, columns, rows), "Rows are what an example is, columns what it was answered.", true);
  return h("div", {}, picture(classes, columns, rows), pairs(classes, rows));
}

/** How much of a row a cell is, as the style sheet takes it: no style attribute is allowed here. */
function shaded(cell, share) {
  cell.style.setProperty("--share", share.toFixed(3));
  return cell;
}

/** The share of a label over time, with its interval, the usual share, and where alerts began. */
export function shareCurve(name, points, usual, alerts) {
  const [from, to] = [points[0].time, points.at(-1).time];
  const most = Math.min(1, Math.max(0.05, ...points.map(({ share }) => share), usual ?? 0) * 1.15);
  const x = (time) => LEFT + ((time - from) / (to - from || 1)) * (WIDTH - LEFT - EDGE);
  const y = (share) => HEIGHT - BOTTOM - (Math.min(share, most) / most) * (HEIGHT - BOTTOM - EDGE);
  const at = (time, share) => `${x(time).toFixed(1)},${y(share).toFixed(1)}`;
  const band = [...points.map(({ time, high }) => at(time, high)), ...points.toReversed().map(({ time, low }) => at(time, low))].join(" ");
  const day = (time) => new Date(1000 * time).toISOString().slice(5, 16).replace("T", " ");
  const last = points.at(-1);
  const words = `${exact(last.share)} in the last window${usual === null ? "" : `, usually ${exact(usual)}`}${alerts.length ? `; ${count(alerts.length, "alert")}` : ""}`;
  return figure(name,
    s("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `Share of ${name} over time: ${words}` },
      [0, most / 2, most].map((share) => [s("line", { class: "grid", x1: x(from), x2: x(to), y1: y(share), y2: y(share) }), text(LEFT - 8, y(share) + 4, Math.round(100 * share), "end")]),
      s("polygon", { class: "band", points: band }),
      usual === null ? [] : s("line", { class: "usual", x1: x(from), x2: x(to), y1: y(usual), y2: y(usual), title: `usually ${exact(usual)}` }),
      s("polyline", { class: "line", points: points.map(({ time, share }) => at(time, share)).join(" ") }),
      alerts.filter((time) => time >= from && time <= to).map((time) => s("circle", { class: "dot", cx: x(time), cy: y(points.find((one) => one.time === time)?.share ?? 0), r: 4, title: `an alert, ${day(time)}` })),
      text(x(from), HEIGHT - BOTTOM + 18, day(from), "start"), text(x(to), HEIGHT - BOTTOM + 18, day(to), "end"),
      text(0, 0, "share (%)", "middle", { transform: `translate(13 ${y(most / 2)}) rotate(-90)` })),
    `${words}. Times are UTC.`);
}

const total = (row) => Math.max(1, row.reduce((sum, n) => sum + n, 0));

function table(classes, columns, rows) {
  return h("table", { class: "matrix" },
    h("thead", {}, h("tr", {}, h("td", {}), columns.map((name) => h("th", { scope: "col", title: name }, h("span", { dir: "auto" }, name))))),
    h("tbody", {}, rows.map((row, i) => h("tr", {},
      h("th", { scope: "row", dir: "auto" }, classes[i]),
      row.map((n, j) => shaded(h("td", { class: i === j ? "right-one" : "wrong-one" }, n || "·"), n / total(row)))))));
}

/** More classes than fit into a table: a picture of the shares of each row, both by number. */
function picture(classes, columns, rows) {
  const [side, left, below] = [300, 34, 40];
  const [wide, high] = [side / columns.length, side / classes.length];
  const ticks = classes.map((_, i) => i).filter((i) => i === 0 || (i + 1) % 5 ** Math.ceil(Math.log(classes.length / 6) / Math.log(5)) === 0);
  const cells = rows.flatMap((row, i) => row.map((n, j) => (n ? s("rect", {
    class: i === j ? "right-one" : "wrong-one", x: left + j * wide, y: i * high, width: wide, height: high,
    "fill-opacity": (0.25 + 0.75 * (n / total(row))).toFixed(2), title: `${classes[i]} answered as ${columns[j]}: ${n}`,
  }) : null))).filter(Boolean);
  const right = rows.reduce((sum, row, i) => sum + row[i], 0);
  const words = `${count(classes.length, "class", "classes")} by number, in the order of their names${columns.length > classes.length ? `, then “${NONE}”` : ""}; ${right} of ${rows.flat().reduce((sum, n) => sum + n, 0)} are on the diagonal`;
  return figure("What is taken for what",
    s("svg", { viewBox: `0 0 ${left + side + 6} ${side + below}`, role: "img", "aria-label": `Confusion matrix: ${words}` },
      s("rect", { class: "frame", x: left, y: 0, width: side, height: side }), cells,
      ticks.map((i) => [text(left + (i + 0.5) * wide, side + 15, i + 1), text(left - 5, (i + 0.5) * high + 4, i + 1, "end")]),
      text(left + side / 2, side + 34, "answered"), text(0, 0, "is", "middle", { transform: `translate(11 ${side / 2}) rotate(-90)` })),
    `Share of each class that is answered so: ${words}.`);
}

function pairs(classes, rows) {
  const found = rows.flatMap((row, i) => row.slice(0, classes.length).map((n, j) => [n, classes[i], classes[j]])).filter(([n, is, answered]) => n && is !== answered);
  const listed = found.sort(([a], [b]) => b - a).slice(0, CONFUSED);
  if (!listed.length) return "";
  return h("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": "Taken for another class, most often first" }, h("table", {},
    h("thead", {}, h("tr", {}, ["Is", "Answered", "Times"].map((word) => h("th", { scope: "col" }, word)))),
    h("tbody", {}, listed.map(([n, is, answered]) => h("tr", {}, h("th", { scope: "row" }, is), h("td", {}, answered), h("td", {}, n))))));
}

function figure(title, drawing, caption, scrolls = false) {
  const id = unique("figure");
  return h("figure", { class: "drawn", "aria-labelledby": id },
    h("h3", { id }, title),
    scrolls ? h("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": title }, drawing) : drawing,
    h("figcaption", { class: "soft small" }, caption));
}

// What the tests measure in the page: evaluated there, returns functions.
({
  // Texts and edges of fields with their contrast to what is behind them, and the least that WCAG 2.2 AA allows.
  contrast: () => {
  const parse = (text) => {
    const [r, g, b, a = 1] = text.match(/[\d.]+/g).map(Number);
    const most = text.startsWith("color(srgb") ? 255 : 1;  // so mixed colours are written
    return { r: most * r, g: most * g, b: most * b, a };
  };
  const over = (top, below) => ({ r: top.a * top.r + (1 - top.a) * below.r, g: top.a * top.g + (1 - top.a) * below.g,
    b: top.a * top.b + (1 - top.a) * below.b, a: 1 });
  const light = ({ r, g, b }) => [r, g, b].map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (element) => {
    const layers = [];
    for (let e = element; e; e = e.parentElement) layers.push(parse(getComputedStyle(e).backgroundColor));
    return layers.reverse().reduce((below, top) => over(top, below), { r: 255, g: 255, b: 255, a: 1 });
  };
  const found = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const element = walk.currentNode.parentElement;
    const text = walk.currentNode.textContent.trim();
    if (!text || !element.checkVisibility({ visibilityProperty: true }) || element.closest(".unseen, svg, noscript, script, datalist")) continue;
    const style = getComputedStyle(element);
    const below = ground(element);
    const [a, b] = [light(over(parse(style.color), below)), light(below)].sort((x, y) => y - x);
    const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && Number(style.fontWeight) >= 700);
    found.push({ text: text.slice(0, 40), ratio: (a + 0.05) / (b + 0.05), least: large ? 3 : 4.5 });
  }
  for (const element of document.querySelectorAll("input:not(.unseen), textarea, button, .drop, meter")) {
    if (!element.checkVisibility()) continue;
    const style = getComputedStyle(element);
    const edge = parse(style.borderTopColor);
    if (!parseFloat(style.borderTopWidth) || !edge.a || !element.matches("input:not([type=radio], [type=checkbox]), textarea")) continue;
    const outside = ground(element.parentElement);
    const [a, b] = [light(over(edge, outside)), light(outside)].sort((x, y) => y - x);
    found.push({ text: `edge of ${element.id || element.tagName}`, ratio: (a + 0.05) / (b + 0.05), least: 3 });
  }
  return found;
},
  // Controls that are smaller than 24 pixels and do not stand in a sentence.
  small: () => [...document.querySelectorAll("button, a, input, textarea")].filter((e) => e.checkVisibility() && !e.closest(".unseen, p")
    && !e.classList.contains("unseen")).map((e) => [e.getBoundingClientRect(), e]).filter(([r]) => r.width > 0)
  .map(([r, e]) => [(e.labels?.[0] ?? e).getBoundingClientRect(), r, e])
  .filter(([label, r]) => Math.max(label.height, r.height) < 24 || Math.max(label.width, r.width) < 24).map(([, , e]) => e.outerHTML.slice(0, 90)),
})

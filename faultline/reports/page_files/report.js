"use strict";
// Draws the run over time and lists its events. Everything from the run is set as text, never as markup.
(() => {
  const NS = "http://www.w3.org/2000/svg";
  const data = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  const OUTCOMES = ["done", "not done", "unknown", "never answered"];
  const BOLT = "M2,-9 L-6,2 L-1,2 L-3,10 L6,-3 L1,-3 L4,-9 Z";
  const LEFT = 112, RIGHT = 14, AXIS = 26, TOP = 20;
  const bars = data.bars, end = data.end, count = bars.t.length;
  const led = new Set(bars.c);
  const view = { from: 0, to: data.busy < end * 0.7 ? data.busy : end, cursor: null };
  let redrawEvents = () => {};

  const svg = (tag, attributes, text) => {
    const element = document.createElementNS(NS, tag);
    for (const name in attributes) element.setAttribute(name, attributes[name]);
    if (text !== undefined) element.textContent = text;
    return element;
  };
  const seconds = (t) => t.toFixed(view.to - view.from < 1 ? 4 : 3) + " s";
  const millis = (ms) => (ms >= 1000 ? (ms / 1000).toPrecision(3) + " s" : Number(ms.toPrecision(3)) + " ms");

  // The part of the run that is shown

  const show = (from, to) => {
    const least = Math.max(end / 20000, 1e-6);
    let span = Math.min(end, Math.max(least, to - from));
    view.from = Math.min(Math.max(0, from), end - span);
    view.to = view.from + span;
    draw();
  };
  const scaled = (factor, middle = (view.from + view.to) / 2) =>
    show(middle - (middle - view.from) * factor, middle + (view.to - middle) * factor);
  const moved = (share) => show(view.from + (view.to - view.from) * share, view.to + (view.to - view.from) * share);
  const lead = () => {
    if (!data.lead.length) return show(0, end);
    const [first, last] = data.lead, around = Math.max((last - first) * 0.12, end / 500);
    show(first - around, last + around);
  };
  const zooms = {
    in: () => scaled(0.5), out: () => scaled(2), left: () => moved(-0.4), right: () => moved(0.4),
    all: () => show(0, end), lead,
  };
  const keys = { "+": "in", "=": "in", "-": "out", ArrowLeft: "left", ArrowRight: "right", 0: "all", Home: "all" };

  const axisOf = (box) => {
    const width = Math.max(320, box.clientWidth);
    const scale = (width - LEFT - RIGHT) / (view.to - view.from);
    return {
      width, x: (t) => LEFT + (t - view.from) * scale, t: (x) => view.from + (x - LEFT) / scale, right: width - RIGHT,
    };
  };
  const step = (span, most) => {
    const raw = span / most, ten = 10 ** Math.floor(Math.log10(raw));
    return [1, 2, 5, 10].map((n) => n * ten).find((n) => n >= raw);
  };
  const timeAxis = (root, axis, top, bottom) => {
    const group = svg("g", { class: "axis" });
    const by = step(view.to - view.from, Math.max(3, axis.width / 130));
    const digits = Math.max(0, -Math.floor(Math.log10(by)));
    for (let n = Math.ceil(view.from / by); n * by <= view.to; n++) {
      const x = axis.x(n * by);
      group.append(svg("line", { x1: x, x2: x, y1: top, y2: bottom }));
      group.append(svg("text", { x, y: bottom + 16, "text-anchor": "middle" }, (n * by).toFixed(digits) + " s"));
    }
    root.append(group);
  };
  const marks = (root, axis, top, bottom, named) => {
    let last = -99;
    for (const mark of data.marks) {
      const x = axis.x(mark.t);
      if (x < LEFT || x > axis.right) continue;
      root.append(svg("line", { class: "mark " + mark.kind, x1: x, x2: x, y1: top, y2: bottom }));
      if (!named || x - last < 74) continue;
      const anchor = x > axis.right - 60 ? "end" : "start";
      root.append(svg("text", { class: "mark-text " + mark.kind, x: x + (anchor === "end" ? -4 : 4), y: top - 5, "text-anchor": anchor }, mark.text));
      last = x;
    }
    if (view.cursor !== null && view.cursor >= view.from && view.cursor <= view.to) {
      const x = axis.x(view.cursor);
      root.append(svg("line", { class: "cursor", x1: x, x2: x, y1: top, y2: bottom }));
    }
  };

  // Faults over operations

  const lanes = byId("lanes"), latency = byId("latency");
  let geometry = null;
  const drawLanes = () => {
    const axis = axisOf(lanes), lane = 24, rows = bars.r.reduce((most, row) => Math.max(most, row + 1), 1);
    const row = Math.max(7, Math.min(18, 180 / rows));
    const opsTop = TOP + data.faults.length * lane + 8, bottom = opsTop + rows * row + 8;
    const root = svg("svg", { viewBox: `0 0 ${axis.width} ${bottom + AXIS}`, height: bottom + AXIS, "aria-hidden": "true" });
    timeAxis(root, axis, TOP, bottom);
    data.faults.forEach((fault, n) => {
      const y = TOP + n * lane + lane / 2;
      root.append(svg("rect", { class: "lane-back", x: LEFT, y: y - lane / 2 + 2, width: axis.right - LEFT, height: lane - 4, opacity: 0.6 }));
      root.append(svg("text", { class: "lane-label", x: LEFT - 8, y: y + 4, "text-anchor": "end" }, fault.name.length > 16 ? fault.name.slice(0, 15) + "…" : fault.name));
      const seen = fault.t.filter((t) => t >= view.from && t <= view.to);
      if (seen.length > 60) {
        root.append(svg("path", { class: "strike", d: seen.map((t) => `M${axis.x(t).toFixed(1)},${y - 8}v16`).join("") }));
      } else {
        for (const t of seen) root.append(svg("path", { class: "bolt", d: BOLT, transform: `translate(${axis.x(t).toFixed(1)},${y})` }));
      }
    });
    root.append(svg("text", { class: "lane-label", x: LEFT - 8, y: opsTop + 12, "text-anchor": "end" }, data.unit + "s"));
    const paths = ["", "", "", ""], names = [];
    let own = "";
    for (let n = 0; n < count; n++) {
      const t = bars.t[n] / 1000, until = bars.d[n] < 0 ? end : t + bars.d[n] / 1000;
      if (until < view.from || t > view.to) continue;
      const x = Math.max(LEFT, axis.x(t)), y = opsTop + (bars.r[n] + 0.5) * row;
      const piece = `M${x.toFixed(1)},${y.toFixed(1)}h${Math.max(2, Math.min(axis.right, axis.x(until)) - x).toFixed(1)}`;
      paths[bars.o[n]] += piece;
      if (led.has(n)) { own += piece; names.push([x, y, bars.id[n]]); }
    }
    paths.forEach((d, n) => d && root.append(svg("path", { class: "bars o" + n, d, "stroke-width": row - 3 })));
    if (own) root.append(svg("path", { class: "bars led", d: own, "stroke-width": row - 1 }));
    for (const [x, y, name] of names.slice(0, 6)) root.append(svg("text", { class: "bar-name", x: x + 6, y: y - row / 2 - 1 }, name));
    marks(root, axis, TOP, bottom, true);
    geometry = { opsTop, row };
    lanes.replaceChildren(root);
  };
  const barAt = (x, y) => {
    const axis = axisOf(lanes), row = Math.floor((y - geometry.opsTop) / geometry.row);
    let best = -1, near = 8;
    for (let n = 0; n < count; n++) {
      if (bars.r[n] !== row) continue;
      const from = axis.x(bars.t[n] / 1000), to = bars.d[n] < 0 ? axis.right : Math.max(from + 2, axis.x((bars.t[n] + bars.d[n]) / 1000));
      const away = x < from ? from - x : x > to ? x - to : 0;
      if (away < near) { near = away; best = n; }
    }
    return best;
  };
  const told = (n) => `${bars.id[n]}: ${OUTCOMES[bars.o[n]]}\nbegun ${seconds(bars.t[n] / 1000)}` + (bars.d[n] < 0 ? "" : `, took ${millis(bars.d[n])}`);

  // Latency

  const drawLatency = () => {
    const axis = axisOf(latency), height = 210, bottom = height - AXIS;
    const all = bars.d.filter((ms) => ms >= 0).concat(data.slices.map((part) => part[3]));
    const low = Math.max(1e-3, Math.min(...all, 1e9)), high = Math.max(low * 10, ...all);
    const from = Math.floor(Math.log10(low * 0.8)), to = Math.ceil(Math.log10(high * 1.0001));
    const y = (ms) => bottom - ((Math.log10(Math.max(ms, low)) - from) / (to - from)) * (bottom - 14);
    const root = svg("svg", { viewBox: `0 0 ${axis.width} ${height}`, height, "aria-hidden": "true" });
    timeAxis(root, axis, 8, bottom);
    const grid = svg("g", { class: "axis" });
    for (let power = from; power <= to; power++) {
      grid.append(svg("line", { x1: LEFT, x2: axis.right, y1: y(10 ** power), y2: y(10 ** power) }));
      grid.append(svg("text", { x: LEFT - 8, y: y(10 ** power) + 4, "text-anchor": "end" }, millis(10 ** power)));
    }
    root.append(grid);
    const paths = ["", "", "", ""];
    let own = "";
    for (let n = 0; n < count; n++) {
      const t = bars.t[n] / 1000;
      if (bars.d[n] < 0 || t < view.from || t > view.to) continue;
      const piece = `M${axis.x(t).toFixed(1)},${y(bars.d[n]).toFixed(1)}h0.01`;
      paths[bars.o[n]] += piece;
      if (led.has(n)) own += piece;
    }
    paths.forEach((d, n) => d && root.append(svg("path", { class: "dots o" + n, d })));
    [["p50", 2, "median"], ["p99", 3, "p99"]].forEach(([kind, column, name], order) => {
      const seen = data.slices.filter((part) => part[1] >= view.from && part[0] <= view.to);
      const points = seen.map((part) => [Math.min(axis.right, Math.max(LEFT, axis.x((part[0] + part[1]) / 2))), y(part[column])]);
      if (points.length > 1) root.append(svg("path", { class: "curve " + kind, d: "M" + points.map((p) => p.map((v) => v.toFixed(1)).join(",")).join("L") }));
      root.append(svg("text", { class: "curve-name " + kind, x: axis.right - order * 60, y: 12, "text-anchor": "end" }, name));
    });
    if (own) root.append(svg("path", { class: "dots led", d: own }));
    marks(root, axis, 14, bottom, false);
    latency.replaceChildren(root);
  };
  const drawBins = () => {
    const box = byId("distribution"), width = Math.max(320, box.clientWidth), line = 24;
    const most = Math.max(1, ...data.bins.map((bin) => bin[2])), root = svg("svg", { viewBox: `0 0 ${width} ${data.bins.length * line + 4}`, height: data.bins.length * line + 4 });
    data.bins.forEach(([from, to, number], n) => {
      const y = n * line, length = (number / most) * (width - LEFT - 90);
      root.append(svg("text", { class: "lane-label", x: LEFT - 8, y: y + 16, "text-anchor": "end" }, `${millis(from)} – ${millis(to)}`));
      root.append(svg("rect", { class: "bin", x: LEFT, y: y + 3, width: number ? Math.max(1.5, length) : 0, height: line - 6, rx: 2 }));
      root.append(svg("text", { class: "lane-label", x: LEFT + length + 6, y: y + 16 }, String(number)));
    });
    box.replaceChildren(root);
  };

  // Pointing, dragging, keys

  const tip = document.createElement("div");
  tip.className = "tip-box";
  tip.hidden = true;
  for (const box of [lanes, latency]) {
    let begun = null, shade = null;
    const place = (event) => {
      const around = box.getBoundingClientRect();
      return [event.clientX - around.left, event.clientY - around.top];
    };
    box.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      begun = place(event)[0];
      box.setPointerCapture(event.pointerId);
    });
    box.addEventListener("pointermove", (event) => {
      const [x, y] = place(event);
      if (begun !== null && Math.abs(x - begun) > 3) {
        const root = box.querySelector("svg");
        if (!shade || !shade.isConnected) root.append((shade = svg("rect", { class: "picked", y: 0, height: root.getAttribute("height") })));
        shade.setAttribute("x", Math.min(x, begun));
        shade.setAttribute("width", Math.abs(x - begun));
      } else if (box === lanes && begun === null) {
        const n = barAt(x, y);
        tip.hidden = n < 0;
        if (n >= 0) {
          tip.textContent = told(n);
          if (tip.parentNode !== box) box.append(tip);
          tip.style.left = Math.min(x + 12, box.clientWidth - 200) + "px";
          tip.style.top = y + 14 + "px";
        }
      }
    });
    box.addEventListener("pointerup", (event) => {
      if (begun === null) return;
      const axis = axisOf(box), [x, y] = place(event), from = begun;
      begun = null;
      if (Math.abs(x - from) > 6) return show(axis.t(Math.min(x, from)), axis.t(Math.max(x, from)));
      const n = box === lanes ? barAt(x, y) : -1;
      if (n >= 0) { byId("find").value = bars.id[n]; redrawEvents(); }
    });
    box.addEventListener("pointerleave", () => { tip.hidden = true; });
    box.addEventListener("dblclick", () => show(0, end));
    box.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || !(event.key in keys)) return;
      event.preventDefault();
      zooms[keys[event.key]]();
    });
  }
  document.querySelectorAll("[data-zoom]").forEach((button) => button.addEventListener("click", () => zooms[button.dataset.zoom]()));
  document.querySelectorAll("[data-copy]").forEach((button) => button.addEventListener("click", async () => {
    const code = byId(button.dataset.copy);
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(code);
      button.textContent = "Selected";
    }
  }));

  // Events

  const body = byId("events").tBodies[0], find = byId("find"), kind = byId("kind"), more = byId("more");
  const PAGE = 150;
  let rows = [], listed = 0;
  const kinds = new Map();
  for (const event of data.events) kinds.set(event[1], (kinds.get(event[1]) || 0) + 1);
  for (const [name, number] of [...kinds].sort()) {
    const option = document.createElement("option");
    option.value = name;
    option.textContent = `${name} (${number})`;
    kind.append(option);
  }
  const extend = () => {
    const piece = document.createDocumentFragment();
    for (const event of rows.slice(listed, listed + PAGE)) {
      const row = document.createElement("tr");
      row.className = (event[4] ? "lead " : "") + (event[1] === "struck" ? "struck" : "");
      [event[0].toFixed(4) + " s", event[1], event[2], event[3]].forEach((words, n) => {
        const cell = document.createElement("td");
        if (n === 0) cell.className = "number";
        cell.textContent = words;
        row.append(cell);
      });
      row.addEventListener("click", () => { view.cursor = event[0]; if (event[0] < view.from || event[0] > view.to) show(0, end); else draw(true); });
      piece.append(row);
    }
    body.append(piece);
    listed = Math.min(rows.length, listed + PAGE);
    more.hidden = listed >= rows.length;
    byId("listed").textContent = `${rows.length} of ${data.events.length} events` + (listed < rows.length ? `, ${listed} listed` : "");
  };
  redrawEvents = () => {
    const words = find.value.toLowerCase().split(/\s+/).filter(Boolean), own = byId("only-lead").checked, part = byId("only-part").checked;
    rows = data.events.filter((event) => {
      if (kind.value && event[1] !== kind.value) return false;
      if ((own && !event[4]) || (part && (event[0] < view.from || event[0] > view.to))) return false;
      const text = `${event[1]} ${event[2]} ${event[3]}`.toLowerCase();
      return words.every((word) => text.includes(word));
    });
    listed = 0;
    body.replaceChildren();
    extend();
  };
  find.addEventListener("input", redrawEvents);
  for (const choice of [kind, byId("only-lead"), byId("only-part")]) choice.addEventListener("change", redrawEvents);
  more.addEventListener("click", extend);

  const draw = (quick) => {
    drawLanes();
    drawLatency();
    byId("shown-part").textContent = `${seconds(view.from)} to ${seconds(view.to)}`;
    if (!quick && byId("only-part").checked) redrawEvents();
  };
  let wait = 0;
  addEventListener("resize", () => { cancelAnimationFrame(wait); wait = requestAnimationFrame(() => { draw(true); drawBins(); }); });
  addEventListener("beforeprint", () => { draw(true); drawBins(); });
  draw();
  drawBins();
  redrawEvents();
})();

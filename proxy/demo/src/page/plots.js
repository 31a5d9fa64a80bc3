"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const plots = document.getElementById("plots");
  const NS = "http://www.w3.org/2000/svg";
  const LEFT = 58, RIGHT = 14;
  const whole = [0, Math.max(1, data.took_ms)];
  let view = whole, cursor = null, dragged = null;
  const panels = [];

  const svg = (name, attributes, parent) => {
    const element = document.createElementNS(NS, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (parent) parent.append(element);
    return element;
  };
  const html = (name, text, parent, className) => {
    const element = document.createElement(name);
    if (className) element.className = className;
    element.textContent = text;
    if (parent) parent.append(element);
    return element;
  };
  const color = name => `var(--${name})`;
  const time = ms => `${(ms / 1000).toFixed(2)} s`;
  const count = n => n >= 1e6 ? `${+(n / 1e6).toPrecision(3)} M` : n >= 1e3 ? `${+(n / 1e3).toPrecision(3)} k` : `${+n.toPrecision(3)}`;
  const micros = us => us >= 1e6 ? `${+(us / 1e6).toPrecision(3)} s` : us >= 1e3 ? `${+(us / 1e3).toPrecision(3)} ms` : `${+us.toPrecision(3)} µs`;
  const bytes = n => n >= 1 << 20 ? `${+(n / (1 << 20)).toPrecision(3)} MiB` : n >= 1024 ? `${+(n / 1024).toPrecision(3)} KiB` : `${n} B`;
  const percent = p => `${+(p * 100).toFixed(1)} %`;

  // Round steps of an axis from `from` to `to`, about `about` of them.
  const steps = (from, to, about) => {
    const rough = (to - from) / about, power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map(n => n * power).find(n => n >= rough);
    const all = [];
    for (let at = Math.ceil(from / step) * step; at <= to + step * 1e-9; at += step) all.push(at);
    return all;
  };
  // The last row not after `ms`, unless it is older than `most`.
  const at = (rows, ms, most) => {
    let low = 0, high = rows.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (rows[middle].at_ms <= ms) low = middle + 1; else high = middle;
    }
    const row = rows[low - 1];
    return row && ms - row.at_ms <= most ? row : null;
  };

  // Rows further apart than this do not belong together: nobody looked between them.
  const HOLE = 5 * data.step_ms;
  const linear = (low, high) => ({ low, high, of: v => (v - low) / (high - low), ticks: () => steps(low, high, 4) });
  const logarithmic = (low, least, base) => {
    let high = low * base;
    while (high < least) high *= base;
    return {
      low, high,
      of: v => Math.log(Math.max(v, low) / low) / Math.log(high / low),
      ticks: () => { const all = []; for (let v = low; v <= high * 1.001; v *= base) all.push(v); return all; },
    };
  };
  const most = (rows, get, least) => rows.reduce((max, row) => Math.max(max, get(row) ?? 0), least);
  const some = (rows, get) => rows.some(row => get(row) != null);

  const frame = (title, height) => {
    const box = html("div", "", plots, "panel");
    const head = html("div", "", box, "head");
    html("span", title, head, "name");
    const panel = { head, height, root: svg("svg", { height, role: "img", "aria-label": title }, box), keys: [] };
    panels.push(panel);
    return panel;
  };
  const key = (panel, label, paint, mark, read) => {
    const span = html("span", "", panel.head, "key");
    const sign = html("i", "", span, mark);
    if (mark === "box") sign.style.background = paint; else sign.style.borderColor = paint;
    span.append(label + " ");
    panel.keys.push({ value: html("b", "", span), read });
  };

  // Lines and areas over rows; `series`: {label, color, get, dash, area, width}.
  const chart = (title, height, rows, scale, format, series, levels = []) => {
    const panel = frame(title, height);
    for (const one of series) {
      key(panel, one.label, color(one.color), one.bar ? "box" : one.dash ? "dash" : "", ms => {
        const row = at(one.rows ?? rows, ms, one.most ?? HOLE), value = row && one.get(row);
        return value == null ? "–" : format(value);
      });
    }
    for (const level of levels) key(panel, level.label, color(level.color), "dash", () => format(level.value));
    panel.draw = (root, x) => {
      const y = v => height - 6 - scale.of(Math.min(v, scale.high)) * (height - 14);
      for (const tick of scale.ticks()) {
        svg("line", { x1: LEFT, x2: x(view[1]), y1: y(tick), y2: y(tick), stroke: color("grid") }, root);
        svg("text", { x: LEFT - 7, y: y(tick) + 4, "text-anchor": "end" }, root).textContent = format(tick);
      }
      const clip = svg("g", { "clip-path": "url(#inside)" }, root);
      for (const level of levels)
        svg("line", { x1: LEFT, x2: x(view[1]), y1: y(level.value), y2: y(level.value), stroke: color(level.color), "stroke-dasharray": "3 4" }, clip);
      for (const one of series) {
        const own = one.rows ?? rows, hole = one.most ?? HOLE;
        if (one.bar) {
          const width = Math.max(1.5, x(data.step_ms) - x(0) - .5);
          for (const row of own) {
            const value = one.get(row);
            if (value > 0) {
              const top = Math.min(y(value), y(scale.low) - 2);
              svg("rect", { x: x(row.at_ms), width, y: top, height: y(scale.low) - top, fill: color(one.color), opacity: .85 }, clip);
            }
          }
          continue;
        }
        let path = "", fill = "", begun = null, last = null;
        const close = () => { if (begun != null && one.area) fill += `L${x(last)},${y(scale.low)}L${x(begun)},${y(scale.low)}Z`; begun = null; };
        for (const row of own) {
          const value = one.get(row);
          if (value == null || (last != null && row.at_ms - last > hole)) close();
          if (value == null) continue;
          const point = `${x(row.at_ms).toFixed(1)},${y(value).toFixed(1)}`;
          if (begun == null) { begun = row.at_ms; path += `M${point}h.6`; fill += `M${point}`; }
          else { path += `L${point}`; fill += `L${point}`; }
          last = row.at_ms;
        }
        close();
        if (one.area) svg("path", { d: fill, fill: color(one.color), opacity: .16 }, clip);
        svg("path", { d: path, fill: "none", stroke: color(one.color), "stroke-width": one.width ?? 1.5, "stroke-linejoin": "round",
          ...(one.dash ? { "stroke-dasharray": "5 3" } : {}) }, clip);
      }
    };
  };

  // A lane of coloured stretches; `get` gives a word or null, `paint` the colour of a word.
  const lane = (title, rows, get, paint) => {
    const height = 22, panel = frame(title, height);
    key(panel, "", "transparent", "box", ms => { const row = at(rows, ms, HOLE); return row ? get(row) ?? "–" : "–"; });
    panel.draw = (root, x) => {
      const clip = svg("g", { "clip-path": "url(#inside)" }, root);
      const stretch = (from, until, word) => {
        if (word == null || until < view[0] || from > view[1]) return;
        const left = Math.max(x(from), LEFT), right = Math.min(Math.max(x(until), x(from) + 1.5), x(view[1]));
        svg("rect", { x: left, width: Math.max(0, right - left), y: 2, height: height - 4, rx: 2, fill: color(paint(word)), opacity: .9 }, clip);
        if (right - left > word.length * 6.4 + 8)
          svg("text", { x: left + 5, y: 15, class: "on" }, clip).textContent = word;
      };
      let from = null, word = null, last = null;
      for (const row of rows) {
        const next = get(row);
        if (last != null && (next !== word || row.at_ms - last > HOLE)) {
          stretch(from, row.at_ms - last > HOLE ? last + data.step_ms : row.at_ms, word);
          from = null;
        }
        if (from == null) { from = row.at_ms; word = next; }
        last = row.at_ms;
      }
      if (from != null) stretch(from, last + data.step_ms, word);
    };
  };

  const overview = () => {
    const height = 46, panel = frame("acts and events", height);
    key(panel, "done to it", color("red"), "", () => "");
    key(panel, "the sidecar", color("blue"), "", () => "");
    const say = html("span", "", panel.head, "key");
    panel.keys.push({ value: html("b", "", say), read: ms => {
      const near = data.events.filter(event => Math.abs(event.at_ms - ms) < (view[1] - view[0]) / 150);
      return near.map(event => `${time(event.at_ms)}: ${event.words}`).join(" · ");
    } });
    panel.draw = (root, x) => {
      const clip = svg("g", { "clip-path": "url(#inside)" }, root);
      data.parts.forEach(part => {
        const left = Math.max(x(part.from_ms), LEFT), right = Math.min(x(part.until_ms), x(view[1]));
        if (right <= left) return;
        svg("rect", { x: left + .5, width: Math.max(0, right - left - 1), y: 2, height: 20, rx: 3, fill: color("shade"), stroke: color("line") }, clip);
        const room = Math.floor((right - left - 8) / 6.6);
        if (room >= 3) {
          const words = part.title.length <= room ? part.title : part.title.slice(0, room - 1) + "…";
          svg("text", { x: left + 6, y: 16, class: "part" }, clip).textContent = words;
        }
      });
      for (const event of data.events) {
        const demo = event.by === "demo", paint = color(demo ? "red" : "blue"), px = x(event.at_ms);
        const mark = svg("path", { d: demo ? `M${px},42l-4,-8h8z` : `M${px},42l-4,-4 4,-4 4,4z`, fill: paint, opacity: .9 }, clip);
        svg("title", {}, mark).textContent = `${time(event.at_ms)}: ${event.words}`;
      }
    };
  };

  const load = data.intervals.filter(row => row.who === "clients"), looks = data.looks;
  const per = 1000 / data.step_ms;
  overview();
  chart("operations per second", 84, load, linear(0, most(load, row => row.done * per, 10)), count,
    [{ label: "done", color: "blue", get: row => row.done * per, area: true }]);
  chart("operations not done, per tenth of a second", 64, load,
    linear(0, most(load, row => Math.max(row.not_executed, row.in_doubt), 5)), count, [
      { label: "refused or failed, and not executed", color: "red", get: row => row.not_executed, bar: true },
      { label: "in doubt", color: "amber", get: row => row.in_doubt, bar: true },
    ]);
  chart("latency", 110, load, logarithmic(10, most(load, row => row.max_us, 1e4), 10), micros, [
    { label: "longest", color: "grey", get: row => row.max_us, width: 1 },
    { label: "p99", color: "violet", get: row => row.p99_us },
    { label: "p50", color: "cyan", get: row => row.p50_us },
  ]);
  const others = data.intervals.filter(row => row.who !== "clients");
  if (others.length)
    chart("reads per second with nobody left to ask", 64, others, linear(0, most(others, row => row.done * per, 10)), count,
      [...new Set(others.map(row => row.who))].map((who, number) => ({
        label: who, color: ["green", "red", "amber", "violet"][number % 4], rows: others.filter(row => row.who === who), get: row => row.done * per, area: true,
      })));
  const horizons = data.horizons.length ? data.horizons : [5, 15, 30].map(steps => ({ steps, threshold: null }));
  horizons.forEach((horizon, number) => {
    const series = [
      { label: "counts", color: "grey", get: row => row.risk && row.risk[number], area: true, width: 1 },
      { label: "rule", color: "amber", get: row => row.rule && row.rule[number] },
      { label: "model", color: "violet", get: row => row.model && row.model[number], dash: true },
    ].filter(one => some(looks, one.get));
    const threshold = horizon.threshold == null ? [] : [{ label: "threshold", color: "red", value: horizon.threshold }];
    chart(`risk within ${horizon.steps} steps`, 62, looks, linear(0, 1), percent, series, threshold);
  });
  const gauges = [...new Set(data.gauges.map(gauge => gauge.what))];
  if (gauges.length)
    chart("what is used up", 62, [], linear(0, 1), percent, gauges.map((what, number) => ({
      label: what, color: ["red", "amber", "violet", "cyan", "green"][number % 5],
      rows: data.gauges.filter(gauge => gauge.what === what), get: gauge => gauge.used, area: true, most: 3000,
    })));
  chart("bytes that mirrors are behind", 84, looks, logarithmic(1, most(looks, row => Math.max(0, ...row.lag), 1024), 32), bytes,
    data.endpoints.map((name, number) => ({ label: name, color: ["blue", "green", "amber", "violet"][number % 4], get: row => row.lag[number] })));
  const states = { healthy: "green", at_risk: "amber", holding: "violet", flipping: "violet", failed_over: "cyan", recovering: "cyan" };
  lane("state", looks, row => row.state, word => states[word] ?? "red");
  if (some(looks, row => row.tier)) lane("tier of the tokens in force", looks, row => row.tier, word => word.startsWith("none") ? "red" : word.includes("temporary") ? "amber" : word.includes("provisional") ? "cyan" : "green");
  lane("acknowledged writes are", looks, row => row.durability, word => word === "synchronous" ? "violet" : "grey");
  const paints = ["blue", "green", "amber", "violet"];
  lane("epoch and primary", looks, row => row.primary && `${row.epoch} · ${row.primary}`,
    word => paints[data.endpoints.indexOf(word.split(" · ")[1])] ?? "grey");
  const axis = frame("", 22);
  axis.head.remove();
  axis.draw = (root, x) => {
    for (const tick of steps(view[0], view[1], 10)) {
      svg("line", { x1: x(tick), x2: x(tick), y1: 0, y2: 5, stroke: color("soft") }, root);
      svg("text", { x: x(tick), y: 17, "text-anchor": "middle" }, root).textContent = `${+(tick / 1000).toFixed(3)} s`;
    }
  };

  let width = 0;
  const x = ms => LEFT + (ms - view[0]) / (view[1] - view[0]) * (width - LEFT - RIGHT);
  const back = px => view[0] + (px - LEFT) / (width - LEFT - RIGHT) * (view[1] - view[0]);
  const defs = svg("svg", { width: 0, height: 0, style: "position:absolute" }, plots);
  const inside = svg("rect", { x: LEFT, y: -2, height: 1000 }, svg("clipPath", { id: "inside" }, defs));

  const read = () => {
    for (const panel of panels) {
      panel.line.setAttribute("visibility", cursor == null ? "hidden" : "visible");
      if (cursor != null) for (const end of ["x1", "x2"]) panel.line.setAttribute(end, x(cursor));
      for (const key of panel.keys) key.value.textContent = cursor == null ? "" : key.read(cursor);
      const from = dragged == null || cursor == null ? 0 : x(dragged), to = dragged == null || cursor == null ? 0 : x(cursor);
      panel.band.setAttribute("x", Math.min(from, to));
      panel.band.setAttribute("width", Math.abs(from - to));
    }
    hint.textContent = cursor == null ? resting : `at ${time(cursor)}`;
  };
  const draw = () => {
    width = panels[0].root.getBoundingClientRect().width || 1200;
    inside.setAttribute("width", Math.max(0, width - LEFT - RIGHT));
    for (const panel of panels) {
      panel.root.setAttribute("viewBox", `0 0 ${width} ${panel.height}`);
      panel.root.replaceChildren();
      for (const part of data.parts)
        if (part.from_ms > view[0] && part.from_ms < view[1])
          svg("line", { x1: x(part.from_ms), x2: x(part.from_ms), y1: 0, y2: panel.height, stroke: color("line") }, panel.root);
      panel.draw(panel.root, x);
      panel.band = svg("rect", { y: 0, height: panel.height, fill: color("blue"), opacity: .12, width: 0 }, panel.root);
      panel.line = svg("line", { y1: 0, y2: panel.height, stroke: color("soft"), visibility: "hidden" }, panel.root);
    }
    read();
  };

  const hint = plots.querySelector(".hint"), resting = hint.textContent;
  const buttons = [];
  const look = range => {
    view = range;
    for (const [button, own] of buttons) button.setAttribute("aria-pressed", own[0] === range[0] && own[1] === range[1]);
    draw();
  };
  const choose = (name, range) => {
    const button = html("button", name, document.getElementById("zoom"));
    button.type = "button";
    button.onclick = () => look(range);
    buttons.push([button, range]);
  };
  choose("whole run", whole);
  for (const part of data.parts) if (part.until_ms > part.from_ms) choose(part.title, [part.from_ms, part.until_ms]);

  const position = event => {
    const ms = back(event.clientX - panels[0].root.getBoundingClientRect().left);
    return Math.min(Math.max(ms, view[0]), view[1]);
  };
  for (const panel of panels) {
    panel.root.addEventListener("pointermove", event => { cursor = position(event); read(); });
    panel.root.addEventListener("pointerleave", () => { cursor = null; dragged = null; read(); });
    panel.root.addEventListener("pointerdown", event => { dragged = position(event); });
    panel.root.addEventListener("pointerup", event => {
      const from = dragged, to = position(event);
      dragged = null;
      if (from != null && Math.abs(from - to) > (view[1] - view[0]) / 100) look([Math.min(from, to), Math.max(from, to)]); else read();
    });
    panel.root.addEventListener("dblclick", () => look(whole));
  }
  new ResizeObserver(() => { if (panels[0].root.getBoundingClientRect().width !== width) draw(); }).observe(plots);
  look(whole);
})();

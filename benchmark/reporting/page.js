"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const settings = Object.fromEntries(data.settings.map((setting) => [setting.name, setting]));
  const live = el("p", { class: "hidden", role: "status", "aria-live": "polite" });

  function el(tag, attributes = {}, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (typeof value === "function") node.addEventListener(name, value);
      else if (value !== false && value != null) node.setAttribute(name, value === true ? "" : value);
    }
    node.append(...children.flat().filter((child) => child != null));
    return node;
  }
  const button = (text, click, more = {}) => el("button", { type: "button", click, ...more }, text);
  const say = (text) => { live.textContent = text; };
  const titleOf = (method) => data.methods[method].title;
  const letters = (text) => text.toLowerCase().replace("²", "2").replace(/[^a-z0-9]/g, "");
  const named = (method) =>
    letters(titleOf(method)) === letters(method) ? titleOf(method) : `${titleOf(method)} (${method})`;
  const label = (name) => {
    const metric = data.metrics[name];
    return `${metric.label}, ${metric.population} ${metric.arrow}`;
  };
  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const format = (value, style, signed = style.startsWith("+")) =>
    (signed && value >= 0 ? "+" : "") + value.toFixed(Number(style.match(/\.(\d+)/)[1]));
  const time = (seconds) =>
    seconds < 120 ? `${seconds.toFixed(0)} s`
      : seconds < 7200 ? `${(seconds / 60).toFixed(0)} min` : `${(seconds / 3600).toFixed(1)} h`;

  const COSTS = {
    higher: (value) => -value,
    lower: (value) => value,
    zero: (value) => Math.abs(value),
    one: (value) => Math.abs(Math.log(Math.max(value, 1e-38))),
  };
  const cost = (metric, value) => COSTS[data.metrics[metric].better](value);

  // The state that a link can hold, and the link that holds it.
  const linked = () => new URLSearchParams(location.hash.includes("=") ? location.hash.slice(1) : "");
  function remember(changes) {
    const state = linked();
    for (const [name, value] of Object.entries(changes)) {
      if (value) state.set(name, value); else state.delete(name);
    }
    const text = state.toString().replaceAll("%2C", ",");
    history.replaceState(null, "", text ? `#${text}` : location.pathname + location.search);
  }

  async function copy(text, what) {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const area = el("textarea", { class: "hidden" });
      area.value = text;
      (document.querySelector("dialog[open]") ?? document.body).append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    say(`${what} copied`);
  }
  const copier = (what, text) => button(`Copy ${what}`, () => copy(text, what), { class: "copy" });

  // Charts are SVG in the colours of the page, with a text that says what they show.
  function svg(tag, attributes, ...children) {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    node.append(...children);
    return node;
  }
  // Ticks at round numbers, about so many, as they are printed.
  function round(low, high, count) {
    const least = (high - low) / count;
    const power = 10 ** Math.floor(Math.log10(least));
    const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= least);
    const [first, last] = [Math.ceil(low / step), Math.floor(high / step)];
    const digits = Math.max(0, Math.ceil(-Math.log10(step) - 1e-9));
    return Array.from({ length: last - first + 1 }, (_, index) => ((first + index) * step).toFixed(digits));
  }
  function chart(about, xs, ys, xTitle, yTitle, draw, height = 240) {
    const [width, left, bottom] = [560, 64, 40];
    const scale = ([low, high], from, to) => {
      const room = (high - low) * 0.06 || Math.abs(high) * 0.1 || 1;
      const [a, b] = [low - room, high + room];
      const position = (value) => from + ((value - a) / (b - a)) * (to - from);
      return Object.assign(position, { ticks: round(a, b, 5) });
    };
    const x = scale([Math.min(...xs), Math.max(...xs)], left, width - 24);
    if (xs.every(Number.isInteger)) x.ticks = x.ticks.filter((tick) => Number.isInteger(Number(tick)));
    const y = ys.length ? scale([Math.min(...ys), Math.max(...ys)], height - bottom, 10) : () => 0;
    const axes = [
      svg("path", { class: "axis", d: `M${left} 8V${height - bottom}H${width - 8}` }),
      ...x.ticks.map((v) => svg("text", { x: x(v), y: height - bottom + 14, "text-anchor": "middle" }, v.replace("-", "−"))),
      ...(y.ticks ?? []).map((v) => svg("text", { x: left - 6, y: y(v) + 4, "text-anchor": "end" }, v.replace("-", "−"))),
      svg("text", { x: (left + width) / 2, y: height - 6, "text-anchor": "middle" }, xTitle),
      svg("text", { x: left, y: 8, "text-anchor": "end" }, yTitle),
    ];
    const viewBox = `0 0 ${width} ${height}`;
    return svg("svg", { class: "chart", viewBox, role: "img", "aria-label": about }, ...axes, ...draw(x, y, { left, bottom, width, height }));
  }
  const dot = (x, y, title, kind = "") => svg("circle", { cx: x, cy: y, r: 3.5, class: `dot ${kind}` }, svg("title", {}, title));

  // --- two methods compared

  function contrast(setting, metric, first, second) {
    const [one, two] = [first, second].map((method) => setting.entries.find((entry) => entry.method === method)?.scores[metric]);
    if (!one || !two) return null;
    const gains = one.values.map((value, replicate) => cost(metric, two.values[replicate]) - cost(metric, value));
    const outcome = { gains, mean: mean(gains), verdict: "undecided", corrected: "undecided" };
    const quantiles = setting.quantiles;
    if (!quantiles || gains.length < 2) return outcome;
    const spread = Math.sqrt(mean(gains.map((gain) => (gain - outcome.mean) ** 2)) * gains.length / (gains.length - 1));
    const error = spread / Math.sqrt(gains.length);
    const margin = data.metrics[metric].margin;
    const same = margin != null && Math.abs(outcome.mean) + quantiles.equivalence * error < margin;
    const verdict = (quantile) => {
      const sure = Math.abs(outcome.mean) > quantile * error;
      const side = outcome.mean > 0 ? "better" : "worse";
      return sure ? side + (same ? ", but equivalent" : "") : same ? "equivalent" : "undecided";
    };
    const half = quantiles.single * error;
    return { ...outcome, low: outcome.mean - half, high: outcome.mean + half,
      verdict: verdict(quantiles.single), corrected: verdict(quantiles.every_pair) };
  }

  function contrastView(setting, metric, first, second) {
    const outcome = contrast(setting, metric, first, second);
    if (!outcome) return el("p", {}, "One of the two has no value of this metric here.");
    const { style } = data.metrics[metric];
    const show = (value) => format(value, style, true);
    const limits = outcome.low == null ? "" : ` [${show(outcome.low)}, ${show(outcome.high)}]`;
    const pairs = setting.entries.length * (setting.entries.length - 1) / 2;
    const text = `${named(first)} over ${named(second)}: ${show(outcome.mean)}${limits}, above 0 better, ` +
      `paired over ${outcome.gains.length} replicates${setting.resampled ? ", of the weights alone" : ""}. Verdict: ${outcome.verdict} as a single comparison; ` +
      `${outcome.corrected} after correction for all ${pairs} pairs (Bonferroni).`;
    const xs = [...outcome.gains, 0, ...(outcome.low == null ? [] : [outcome.low, outcome.high])];
    const picture = chart(text, xs, [], `gain in ${data.metrics[metric].label}, ${data.metrics[metric].population} (right of 0: ${titleOf(first)} is better)`, "", (x, _, box) => [
      svg("path", { class: "zero", d: `M${x(0)} 8V${box.height - box.bottom}` }),
      ...outcome.gains.map((gain, replicate) => dot(x(gain), 48 + 10 * (replicate % 5), `replicate ${replicate}: ${show(gain)}`)),
      ...(outcome.low == null ? [] : [svg("path", { class: "interval", d: `M${x(outcome.low)} 25H${x(outcome.high)}` })]),
      dot(x(outcome.mean), 25, `mean: ${show(outcome.mean)}`, "mean"),
    ], 150);
    return el("div", { class: "contrast" }, el("p", { class: "verdict" }, text), picture);
  }

  // --- the explorer of a setting

  const COMPARISONS = {
    gain: (reference) => `Δ to ${reference}`,
    own: () => "Δ within the family",
    matched: () => "Δ, equal capacity",
    tuning: () => "Gain by tuning",
  };

  function columnsOf(setting, lead) {
    const reference = data.methods[data.reference]?.title ?? data.reference;
    const score = (entry, metric = lead) => entry.scores[metric];
    const gains = Object.entries(COMPARISONS).map(([key, title]) => ({
      key, title: title(reference), group: "comparison",
      text: (entry) => score(entry)?.[key]?.text ?? "–",
      sort: (entry) => -(score(entry)?.[key]?.mean ?? -Infinity), falls: true,
      exists: setting.entries.some((entry) => score(entry)?.[key]),
      shown: key === "gain",
    }));
    const metrics = [lead, ...[...setting.headline, ...setting.metrics].filter((name) => name !== lead)];
    return [
      ...metrics.map((name) => ({
        key: name, title: label(name), group: "metric", metric: name,
        text: (entry) => score(entry, name)?.text ?? "–",
        sort: (entry) => (score(entry, name) ? cost(name, score(entry, name).mean) : Infinity),
        falls: data.metrics[name].better === "higher",
        exists: true, shown: name === lead || setting.headline.includes(name),
      })),
      ...gains,
      { key: "verdict", title: "Verdict", group: "comparison", shown: true,
        text: (entry) => score(entry)?.gain?.verdict ?? "–",
        sort: (entry) => -(score(entry)?.gain?.mean ?? -Infinity), falls: true,
        exists: setting.entries.some((entry) => score(entry)?.gain) },
      { key: "rank", title: "Rank", group: "comparison", shown: true,
        text: (entry) => (entry.rank == null ? "–" : `${entry.rank} [${entry.rank_low}–${entry.rank_high}]`),
        sort: (entry) => entry.rank ?? Infinity,
        exists: lead === setting.headline[0] && setting.entries.some((entry) => entry.rank != null) },
      { key: "parameters", title: "Parameters", group: "cost", exists: true, shown: false,
        text: (entry) => entry.parameters?.toLocaleString("en") ?? "–", sort: (entry) => entry.parameters ?? Infinity },
      { key: "time", title: "Time", group: "cost", exists: true, shown: true,
        text: (entry) => time(entry.seconds), sort: (entry) => entry.seconds },
      { key: "trials", title: "Trials", group: "cost", exists: true, shown: false,
        text: (entry) => `${entry.trials.length}` + (entry.diverged ? ` (${entry.diverged} diverged)` : ""),
        sort: (entry) => entry.trials.length },
    ].filter((column) => column.exists);
  }

  const tuned = (entry) => Object.values(entry.scores).some((score) => score.default);

  class Explorer {
    constructor(container, setting) {
      Object.assign(this, { container, setting, lead: setting.headline[0], query: "", family: "", need: "",
        defaults: false, sorted: setting.headline[0], down: false, chosen: {} });
      this.build();
      this.show();
    }

    build() {
      const { setting } = this;
      const own = setting.entries.map((entry) => data.methods[entry.method]);
      const families = [...new Set(own.map((method) => method.family))].sort();
      const needs = [...new Set(own.flatMap((method) => method.needs))];
      const choice = (title, name, values, change) => el("label", {}, `${title} `,
        el("select", { name, change: (event) => { change(event.target.value); this.show(); } },
          values.map(([value, text]) => el("option", { value }, text))));
      const any = (values) => [["", "all"], ...values.map((value) => [value, value])];
      this.controls = el("form", { class: "controls", submit: (event) => event.preventDefault() },
        el("label", {}, "Search ", el("input", { type: "search", name: "query",
          input: (event) => { this.query = event.target.value; this.show(); } })),
        choice("Family", "family", any(families), (value) => { this.family = value; }),
        choice("Needs", "need", [["", "all"], ["-", "clicks alone"], ...needs.map((need) => [need, need])], (value) => { this.need = value; }),
        choice("Compared in", "metric", [...setting.headline, ...setting.metrics].map((name) => [name, label(name)]), (value) => {
          this.choose(value);
          remember({ dataset: setting.name, metric: value });
        }),
        setting.entries.some(tuned) ? el("label", {}, el("input", { type: "checkbox", name: "defaults",
          change: (event) => { this.defaults = event.target.checked; this.show(); } }), " default hyper-parameters beside tuned ones") : null);
      this.toggles = el("details", { class: "columns" });
      this.count = el("p", { class: "soft", role: "status" });
      this.table = el("table", {});
      this.compare = el("form", { class: "controls compare", submit: (event) => event.preventDefault() });
      this.contrast = el("div", { class: "contrasts" });
      this.pair = setting.entries.length > 1 ? [setting.entries[0].method, setting.entries[1].method] : [];
      const region = { class: "wide", tabindex: "0", role: "region", "aria-label": `Methods on ${setting.title}` };
      this.container.append(this.controls, this.toggles, this.count, el("div", region, this.table));
      if (this.pair.length) this.container.append(el("h3", {}, "Compare two methods"), this.compare, this.contrast);
      this.buildCompare();
    }

    buildCompare() {
      const picker = (side, title) => el("label", {}, `${title} `,
        el("select", { name: `method-${side}`, change: (event) => { this.pair[side] = event.target.value; this.showPair(true); } },
          this.setting.entries.map((entry) => el("option", { value: entry.method, selected: entry.method === this.pair[side] }, named(entry.method)))));
      if (this.pair.length) this.compare.append(picker(0, "Method"), picker(1, "over"));
    }

    choose(metric) {
      this.lead = metric;
      Object.assign(this, { sorted: metric, down: false });
      this.controls.elements.metric.value = metric;
    }

    choosePair(first, second) {
      this.pair = [first, second];
      this.pair.forEach((method, side) => { this.compare.elements[`method-${side}`].value = method; });
      this.showPair();
    }

    showPair(remembered = false) {
      if (!this.pair.length) return;
      this.contrast.replaceChildren(contrastView(this.setting, this.lead, ...this.pair));
      if (remembered) remember({ dataset: this.setting.name, metric: this.lead, compare: this.pair.join(",") });
    }

    matches(entry) {
      const method = data.methods[entry.method];
      const text = `${method.title} ${entry.method} ${method.family}`.toLowerCase();
      const needs = this.need === "-" ? !method.needs.length : !this.need || method.needs.includes(this.need);
      return text.includes(this.query.toLowerCase()) && (!this.family || method.family === this.family) && needs;
    }

    show() {
      const columns = columnsOf(this.setting, this.lead);
      const visible = columns.filter((column) => this.chosen[column.key] ?? column.shown);
      this.toggles.replaceChildren(el("summary", {}, "Columns"), ...columns.map((column) => el("label", {},
        el("input", { type: "checkbox", name: column.key, checked: visible.includes(column),
          change: (event) => { this.chosen[column.key] = event.target.checked; this.show(); } }), ` ${column.title}`)));
      const by = columns.find((column) => column.key === this.sorted);
      const turn = this.down ? -1 : 1;
      const order = (a, b) => {
        if (this.sorted === "name") return turn * named(a.method).localeCompare(named(b.method));
        const [one, two] = [a, b].map((entry) => by?.sort(entry) ?? 0);
        return one === two ? 0 : one === Infinity ? 1 : two === Infinity ? -1 : turn * (one - two);
      };
      const rows = this.setting.entries.filter((entry) => this.matches(entry)).sort(order);
      this.count.textContent = `${rows.length} of ${this.setting.entries.length} methods`;
      const head = [{ key: "name", title: "Method" }, ...visible].map((column) => el("th",
        { scope: "col", "aria-sort": this.sorted === column.key && (this.down === Boolean(column.falls) ? "ascending" : "descending") },
        button(column.title, () => this.sort(column.key), { "data-column": column.key })));
      this.table.replaceChildren(
        el("caption", { class: "hidden" }, `Methods on ${this.setting.title}, compared in ${label(this.lead)}`),
        el("thead", {}, el("tr", {}, head)),
        el("tbody", {}, rows.map((entry) => this.row(entry, visible))));
      this.showPair();
    }

    row(entry, columns) {
      const open = button(named(entry.method), () => card(entry.method), { class: "link", "data-method": entry.method });
      return el("tr", {}, el("th", { scope: "row" }, open), columns.map((column) => this.cell(entry, column)));
    }

    cell(entry, column) {
      const score = column.metric && entry.scores[column.metric];
      const text = column.text(entry);
      const beside = this.defaults && score?.default ? el("small", {}, `default: ${score.default.text}`) : null;
      return el("td", { "data-column": column.key }, score?.best ? el("b", {}, text) : text, beside);
    }

    sort(key) {
      this.down = this.sorted === key && !this.down;
      this.sorted = key;
      this.show();
      this.table.querySelector(`[data-column="${key}"]`)?.focus();
      remember({ dataset: this.setting.name });
    }
  }

  // --- everything about a method

  const dialog = el("dialog", { "aria-label": "Method", close: () => remember({ method: "" }) });

  function shut() {
    dialog.close();
    remember({ method: "" });
  }

  function card(method) {
    const own = document.getElementById(`method-${method}`);
    const about = own ? [...own.children].slice(1).map((node) => node.cloneNode(true)) : [];
    const results = data.settings.map((setting) => [setting, setting.entries.find((entry) => entry.method === method)]);
    const entries = data.methods[method].citation.map((key) => data.references[key]).filter(Boolean);
    dialog.replaceChildren(
      button("Close", shut, { class: "close" }),
      el("h2", {}, named(method)),
      ...about,
      el("p", {}, copier("BibTeX", entries.join("\n\n"))),
      ...results.flatMap(([setting, entry]) => [el("h3", {}, setting.title), ...(entry ? details(setting, entry) : [absence(setting, method)])]));
    if (!dialog.open) dialog.showModal();
    dialog.scrollTop = 0;
    remember({ method });
  }

  const absence = (setting, method) =>
    el("p", {}, `Not in the table: ${setting.absent.find((task) => task.method === method)?.reason ?? "not part of this run"}.`);

  function details(setting, entry) {
    const names = [...setting.headline, ...setting.metrics].filter((name) => entry.scores[name]);
    const rows = names.map((name) => el("tr", {}, el("th", { scope: "row" }, label(name)),
      el("td", {}, entry.scores[name].text), el("td", {}, entry.scores[name].default?.text ?? "–"),
      el("td", {}, entry.scores[name].gain ? `${entry.scores[name].gain.text}, ${entry.scores[name].gain.verdict}` : "–")));
    const reference = data.methods[data.reference]?.title ?? data.reference ?? "the reference";
    const head = ["Metric", "Tuned", "Default", `Δ to ${reference}`].map((text) => el("th", { scope: "col" }, text));
    const chosen = Object.entries(entry.hyperparameters).map(([name, value]) => `${name} ${value}`).join(", ");
    return [
      el("div", { class: "wide", tabindex: "0", role: "region", "aria-label": `Results on ${setting.title}` },
        el("table", {}, el("thead", {}, el("tr", {}, head)), el("tbody", {}, rows))),
      el("p", {}, copier("LaTeX row", entry.latex)),
      el("p", { class: "soft" }, `Chosen: ${chosen || "nothing to choose"}.`),
      ...tuning(entry), ...curves(entry),
    ];
  }

  function tuning(entry) {
    const done = entry.trials.map((trial, number) => [number, trial]).filter(([, trial]) => trial.value != null);
    if (done.length < 2) return [];
    const described = (trial) => Object.entries(trial.hyperparameters).map(([name, value]) => `${name} ${value}`).join(", ");
    const about = `Search: the value of each of ${entry.trials.length} trials on the validation split; the first has the default hyper-parameters.`;
    const picture = chart(about, done.map(([number]) => number), done.map(([, trial]) => trial.value), "trial", "", (x, y) =>
      done.map(([number, trial]) => dot(x(number), y(trial.value), `trial ${number}: ${trial.value}; ${described(trial)}`)));
    const importance = Object.entries(entry.importance).sort((a, b) => b[1] - a[1]).map(([name, value]) => `${name} ${value}`).join(", ");
    return [el("p", { class: "soft" }, about), picture,
      ...(importance ? [el("p", { class: "soft" }, `Absolute rank correlation with the value over trials: ${importance}.`)] : [])];
  }

  function curves(entry) {
    const known = entry.curves.filter((values) => values.length > 1);
    if (!known.length) return [];
    const about = `Learning curves: the selection metric on the validation split after each epoch, a line for each of ${known.length} replicates.`;
    const longest = Math.max(...known.map((values) => values.length));
    const picture = chart(about, [1, longest], known.flat(), "epoch", "", (x, y) =>
      known.map((values) => svg("path", { class: "curve", d: `M${values.map((value, epoch) => `${x(epoch + 1)} ${y(value)}`).join("L")}` })));
    return [el("p", { class: "soft" }, about), picture];
  }

  // --- the page

  function theme() {
    const names = ["auto", "dark", "light"];
    const root = document.documentElement;
    const stored = () => { try { return localStorage.getItem("theme"); } catch { return null; } };
    const set = (name) => {
      root.dataset.theme = name;
      switcher.textContent = `Colours: ${name}`;
      try { localStorage.setItem("theme", name); } catch { /* a page from a file may have no storage */ }
    };
    const switcher = button("", () => set(names[(names.indexOf(root.dataset.theme) + 1) % 3]), { class: "theme" });
    set(names.includes(stored()) ? stored() : "auto");
    return switcher;
  }

  const explorers = new Map();
  function follow() {
    const state = linked();
    const explorer = explorers.get(state.get("dataset"));
    if (explorer) {
      const { headline, metrics } = explorer.setting;
      if ([...headline, ...metrics].includes(state.get("metric"))) explorer.choose(state.get("metric"));
      explorer.show();
      const pair = (state.get("compare") ?? "").split(",");
      const known = pair.length === 2 && pair.every((method) => explorer.setting.entries.some((entry) => entry.method === method));
      if (known) explorer.choosePair(...pair);
      (known ? explorer.compare : explorer.container.parentElement).scrollIntoView();
    }
    if (Object.hasOwn(data.methods, state.get("method") ?? "")) card(state.get("method"));
    const target = document.getElementById(location.hash.slice(1));
    if (target?.matches("details")) target.open = true;
  }

  document.documentElement.classList.add("js");
  document.querySelector("header").append(theme());
  document.body.append(live, dialog);
  for (const container of document.querySelectorAll(".explorer")) {
    const setting = settings[container.closest("[data-setting]").dataset.setting];
    if (setting.headline.length) explorers.set(setting.name, new Explorer(container, setting));
    else container.nextElementSibling.classList.remove("static");
  }
  for (const entry of document.querySelectorAll("pre[id^=ref-]")) entry.before(copier("BibTeX", entry.textContent));
  for (const link of document.querySelectorAll('main section:not([id]) a[href^="#method-"]')) {
    link.addEventListener("click", (event) => {
      event.preventDefault();
      card(link.hash.slice("#method-".length));
    });
  }
  addEventListener("hashchange", follow);
  follow();
})();

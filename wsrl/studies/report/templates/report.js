"use strict";
// Draws the charts when they come into view; one filter for all, colours of the page's scheme.
(function () {
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const symbols = ["circle", "diamond", "square", "triangle-up", "cross", "star"];
  const dashes = ["solid", "dash", "dot", "dashdot"];
  const hues = 12;
  const hidden = new Set();
  const choices = {};
  const drawn = new Set();
  const config = { responsive: true, displaylogo: false, displayModeBar: false };

  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  // Baselines come after the encoders, and are grey.
  const encoders = Number(document.body.dataset.encoders);
  const hue = (encoder) => (encoder == null || encoder >= encoders ? "--quiet" : "--e" + (encoder % hues));
  const colour = (encoder) => css(hue(encoder));

  function axis(own) {
    return Object.assign(
      { gridcolor: css("--line"), linecolor: css("--line"), zeroline: false, automargin: true,
        tickfont: { size: 11 } },
      own, own.title && { title: { text: own.title.text, font: { size: 12 }, standoff: 6 } });
  }

  function layout(figure) {
    const own = figure.layout;
    return Object.assign({}, own, {
      paper_bgcolor: css("--paper"), plot_bgcolor: css("--paper"), showlegend: false,
      font: { color: css("--ink"), family: "system-ui, sans-serif", size: 12 },
      margin: { l: 8, r: 16, t: 10, b: 8 }, hovermode: "closest", dragmode: "zoom",
      hoverlabel: { bgcolor: css("--band"), bordercolor: css("--line"), align: "left",
        font: { color: css("--ink"), size: 12 } },
      xaxis: axis(own.xaxis || {}), yaxis: axis(own.yaxis || {}),
    });
  }

  function map(trace, meta, group) {
    const choice = choices[group] || {};
    const names = Object.keys(meta.colours);
    const name = names.includes(choice.colours) ? choice.colours : names[0];
    return Object.assign({}, trace, { marker: Object.assign({}, trace.marker, {
      size: 7, opacity: 0.85, color: meta.colours[name], line: { width: 0.5, color: css("--paper") },
      colorscale: "Viridis", showscale: true,
      colorbar: { thickness: 8, outlinewidth: 0, tickfont: { size: 10 }, len: 0.9 },
    }) });
  }

  function styled(trace) {
    const meta = trace.meta || {};
    const own = meta.hue == null ? colour(meta.encoder) : css("--e" + meta.hue);
    if (meta.band) return Object.assign({}, trace, { fillcolor: own + "22", line: { width: 0 } });
    if (meta.front) {
      return Object.assign({}, trace, { line: { color: css("--quiet"), width: 1, dash: "dot" } });
    }
    const turn = Math.floor((meta.encoder || 0) / hues);
    const found = Object.assign({}, trace, {
      marker: Object.assign({ size: 9, symbol: symbols[turn % symbols.length] }, trace.marker,
        { color: own }),
      line: Object.assign({ width: 2, dash: dashes[turn % 4] }, trace.line, { color: own }),
    });
    for (const name of ["error_x", "error_y"]) {
      if (trace[name]) found[name] = Object.assign({}, trace[name], { color: own });
    }
    return found;
  }

  // What Plotly draws of a figure now: without hidden encoders, in the colours of the scheme.
  function build(figure) {
    const made = layout(figure);
    const meta = made.meta || {};
    let traces = figure.data.filter((trace) => !hidden.has((trace.meta || {}).encoder));
    if (meta.colours) traces = traces.map((trace) => map(trace, meta, figure.group));
    else traces = traces.map(styled);
    if (meta.rows) {
      const rows = meta.rows.filter((row) => !hidden.has(row.encoder));
      const place = new Map(rows.map((row, index) => [row.encoder, index]));
      traces = traces.map((trace) => Object.assign({}, trace,
        { y: [place.get(trace.meta.encoder) + trace.meta.row] }));
      Object.assign(made.yaxis, { tickvals: rows.map((_, index) => index), showgrid: true,
        ticktext: rows.map((row) => row.name), range: [-0.6, rows.length - 0.4] });
    }
    return [traces, made, config];
  }

  function draw(div) {
    const figure = figures[Number(div.dataset.chart)];
    window.Plotly.react(div, ...build(figure));
    drawn.add(div);
  }

  const redraw = () => drawn.forEach((div) => { if (div.offsetParent) draw(div); });

  function filter() {
    for (const element of document.querySelectorAll("main [data-encoder]")) {
      element.classList.toggle("hidden", hidden.has(Number(element.dataset.encoder)));
    }
    if (window.Plotly) redraw();
  }

  for (const element of document.querySelectorAll("[data-encoder]")) {
    element.style.setProperty("--own", `var(${hue(Number(element.dataset.encoder))})`);
  }
  const boxes = [...document.querySelectorAll("#filter input")];
  const read = () => {
    hidden.clear();
    boxes.filter((box) => !box.checked).forEach((box) => hidden.add(Number(box.value)));
    filter();
  };
  boxes.forEach((box) => box.addEventListener("change", read));
  for (const button of document.querySelectorAll("#filter button")) {
    button.addEventListener("click", () => {
      boxes.forEach((box) => { box.checked = Boolean(button.dataset.all); });
      read();
    });
  }
  for (const controls of document.querySelectorAll(".controls")) {
    controls.addEventListener("change", (event) => {
      const choice = choices[controls.dataset.group] ||= {};
      choice[event.target.dataset.choice] = event.target.value;
      redraw();
    });
  }
  async function start() {
    const packed = atob(document.getElementById("plotly").textContent);
    const bytes = Uint8Array.from(packed, (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    const script = document.createElement("script");
    script.textContent = await new Response(stream).text();
    document.head.append(script);
    const observer = new IntersectionObserver((entries) => {
      for (const entry of entries) {
        if (entry.isIntersecting) { observer.unobserve(entry.target); draw(entry.target); }
      }
    }, { rootMargin: "600px" });
    document.querySelectorAll(".chart").forEach((div) => observer.observe(div));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  }
  start().catch(() => { document.getElementById("trouble").hidden = false; });
})();

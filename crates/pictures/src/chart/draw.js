// Draws each `.chart-panel` from the ECharts option that it holds as JSON. Functions are not JSON, so
// what needs one is marked there: `share` (0.25 is 25 %), `powers` (2 is 100), `names` (of 0, 1, ...), `told` (what
// a tooltip tells of: a cell, a point or a name), `text` (of a label). A formatter is never a string: ECharts would
// look for `{a}` in it. Nodes of a graph say where they are in parts of its width and height (`across`, `down`).
//
// A legend has as many rows as its names take, up to `maxLegendRows`, beyond which it is leafed through;
// the panel grows by them.
(() => {
  const maxLegendRows = 8;
  const legendRow = 24;
  const rounded = (value) => (typeof value === 'number' ? +value.toPrecision(4) : value ?? '');
  const share = (value) => (typeof value === 'number' ? +(100 * value).toPrecision(4) + ' %' : '');
  const power = (value) => Math.round(10 ** value);
  const escaped = (text) => echarts.format.encodeHTML(text);
  const legendRows = ({ data }, width) => {
    let [rows, used] = [1, 0];
    for (const name of data) {
      const needed = echarts.format.getTextRect(name, '12px sans-serif').width + 50;
      if (used > 0 && used + needed > width) [rows, used] = [rows + 1, 0];
      used += needed;
    }
    return rows;
  };
  const withLegend = (option, panel, height) => {
    if (!option.legend) return;
    const rows = legendRows(option.legend, panel.clientWidth);
    const fits = rows <= maxLegendRows;
    const more = fits ? (rows - 1) * legendRow : 0;
    option.legend.type = fits ? 'plain' : 'scroll';
    const below = option.grid ?? option.series[0];
    option.legend.roomBelow ??= below.top;
    below.top = option.legend.roomBelow + more;
    panel.style.height = `${height + more}px`;
  };
  // As wide and as high as the panel, so that nodes are round.
  const placed = (option, panel, height) => {
    withLegend(option, panel, height);
    for (const series of option.series.filter(({ type }) => type === 'graph')) {
      const width = panel.clientWidth - series.left - series.right;
      const high = panel.clientHeight - series.top - series.bottom;
      for (const node of series.nodes) {
        node.x = node.across * width;
        node.y = node.down * high;
      }
    }
  };
  const ready = (option) => {
    for (const axis of [option.xAxis, option.yAxis]) {
      const label = axis?.axisLabel;
      if (label?.share) label.formatter = share;
      if (label?.names) label.formatter = (value) => label.names[value] ?? '';
    }
    const { share: isShare, powers } = option.visualMap ?? {};
    const value = isShare ? share : powers ? power : rounded;
    if (option.visualMap) option.visualMap.formatter = value;
    for (const series of option.series) {
      series.label = { ...series.label, formatter: ({ data, name }) => data.text ?? name };
      const remark = series.endLabel?.text;
      if (remark) series.endLabel.formatter = () => remark;
    }
    const tooltip = option.tooltip;
    if (tooltip?.trigger === 'axis') tooltip.valueFormatter = tooltip.share ? share : rounded;
    const cell = ({ data }) => {
      const [x, y, shown] = data.value ?? data;
      const text = data.text ? ` (${data.text})` : '';
      const { xAxis, yAxis } = option;
      return `${yAxis.name} ${yAxis.data[y]}, ${xAxis.name} ${xAxis.data[x]}: ${value(shown)}${text}`;
    };
    const told = {
      cell,
      point: ({ seriesName, name }) => `${seriesName}: ${name}`,
      name: ({ data }) => data.name,
    }[tooltip?.told];
    if (told) tooltip.formatter = (hovered) => escaped(told(hovered));
    return option;
  };
  // A finger that moves over a picture scrolls the page, as the wheel does without Ctrl.
  const isTouched = matchMedia('(pointer: coarse)').matches;
  const unmoved = (option) => {
    if (isTouched) {
      delete option.dataZoom;
      for (const series of option.series) series.roam = false;
    }
    return option;
  };
  // A panel holds one option, or one a frame.
  const charts = new Map();
  for (const panel of document.querySelectorAll('.chart-panel')) {
    const held = JSON.parse(panel.querySelector('script').textContent);
    const frames = (Array.isArray(held) ? held : [held]).map(ready).map(unmoved);
    const marks = ({ series }) => series.reduce((sum, { data, links }) => sum + (data ?? links).length, 0);
    // Below this many marks a vector image is as fast, and its text can be selected and searched.
    const renderer = Math.max(...frames.map(marks)) < 3000 ? 'svg' : 'canvas';
    const height = panel.clientHeight;
    const chart = echarts.init(panel, null, { renderer });
    panel.addEventListener('wheel', (event) => event.ctrlKey || event.stopPropagation(), { capture: true });
    let option = frames.at(-1);
    const draw = (index) => {
      const isAnother = frames[index] && frames[index] !== option;
      if (isAnother) option = frames[index];
      placed(option, panel, height);
      chart.resize();
      chart.setOption(option, isAnother);
    };
    draw();
    new ResizeObserver(() => draw()).observe(panel);
    charts.set(panel, draw);
  }

  // Sliders of the same quantity move together, each to its last frame up to that moment.
  const sliders = [...document.querySelectorAll('.chart-slider input')];
  const move = (slider, moment) => {
    const moments = JSON.parse(slider.dataset.moments);
    const index = Math.max(0, moments.findLastIndex((at) => at <= moment));
    slider.value = index;
    slider.setAttribute('aria-valuetext', `${slider.dataset.of} ${moments[index]}`);
    slider.parentElement.querySelector('output').value = moments[index];
    const figure = slider.closest('.chart');
    for (const text of figure.querySelectorAll('[data-texts]')) {
      text.textContent = JSON.parse(text.dataset.texts)[index];
    }
    for (const panel of figure.querySelectorAll('.chart-panel')) charts.get(panel)(index);
  };
  for (const slider of sliders) {
    slider.addEventListener('input', () => {
      const moment = JSON.parse(slider.dataset.moments)[slider.value];
      for (const other of sliders.filter(({ dataset }) => dataset.of === slider.dataset.of)) {
        move(other, moment);
      }
    });
  }
})();

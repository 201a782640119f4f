// Draws each `.chart-panel` from the ECharts option that it holds as JSON. Functions are not JSON, so
// what needs one is marked there: `share` (0.25 is 25 %), `names` (of 0, 1, ...), `linkNames`. Nodes of a
// graph say where they are in parts of its width and height (`across`, `down`).
(() => {
  const rounded = (value) => (typeof value === 'number' ? +value.toPrecision(4) : value ?? '');
  const share = (value) => (typeof value === 'number' ? +(100 * value).toPrecision(4) + ' %' : '');
  const escaped = (text) => echarts.format.encodeHTML(text);
  // As wide and as high as the panel, so that nodes are round.
  const placed = (option, panel) => {
    for (const series of option.series.filter(({ type }) => type === 'graph')) {
      const width = panel.clientWidth - series.left - series.right;
      const height = panel.clientHeight - series.top - series.bottom;
      for (const node of series.nodes) {
        node.x = node.across * width;
        node.y = node.down * height;
      }
    }
    return option;
  };
  for (const panel of document.querySelectorAll('.chart-panel')) {
    const option = JSON.parse(panel.querySelector('script').textContent);
    for (const axis of [option.xAxis, option.yAxis]) {
      const label = axis?.axisLabel;
      if (label?.share) label.formatter = share;
      if (label?.names) label.formatter = (value) => label.names[value] ?? '';
    }
    if (option.visualMap) option.visualMap.formatter = option.visualMap.share ? share : rounded;
    const tooltip = option.tooltip;
    if (tooltip?.trigger === 'axis') tooltip.valueFormatter = tooltip.share ? share : rounded;
    if (tooltip?.linkNames) tooltip.formatter = (hovered) => escaped(hovered.data.name);
    // Below this many marks a vector image is as fast, and its text can be selected and searched.
    const marks = option.series.reduce((sum, { data, links }) => sum + (data ?? links).length, 0);
    const chart = echarts.init(panel, null, { renderer: marks < 3000 ? 'svg' : 'canvas' });
    chart.setOption(placed(option, panel));
    new ResizeObserver(() => {
      chart.resize();
      chart.setOption(placed(option, panel));
    }).observe(panel);
  }
})();

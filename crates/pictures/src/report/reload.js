// Loads the page anew with what was recorded since, unless somebody is at it just now or paused it, and comes
// back to the epochs that were looked at and to what was open. What it comes back to is this page's own.
(() => {
  const live = document.querySelector('.live');
  const key = `stratigraph ${location.pathname}`;
  const state = { looked: {}, open: [], paused: false };
  // A browser may keep nothing for a page, as one without cookies does: it is loaded anew all the same.
  try {
    Object.assign(state, JSON.parse(sessionStorage.getItem(key)));
  } catch {}
  const keep = () => {
    try {
      sessionStorage.setItem(key, JSON.stringify(state));
    } catch {}
  };

  // The moments of a slider are others once more was recorded: the last up to the one looked at is shown, by
  // the slider that comes nearest to it, which takes the others along.
  const sliders = [...document.querySelectorAll('.chart-slider input')];
  const moments = (slider) => JSON.parse(slider.dataset.moments);
  for (const [of, looked] of Object.entries(state.looked)) {
    let nearest = { at: -Infinity };
    for (const slider of sliders.filter(({ dataset }) => dataset.of === of)) {
      const index = moments(slider).findLastIndex((at) => at <= looked);
      if (index >= 0 && moments(slider)[index] > nearest.at) nearest = { at: moments(slider)[index], slider, index };
    }
    if (!nearest.slider) continue;
    nearest.slider.value = nearest.index;
    nearest.slider.dispatchEvent(new Event('input'));
  }
  for (const slider of sliders) {
    slider.addEventListener('input', () => {
      // At its end it follows the run.
      if (slider.value === slider.max) delete state.looked[slider.dataset.of];
      else state.looked[slider.dataset.of] = moments(slider)[slider.value];
      keep();
    });
  }

  const details = [...document.querySelectorAll('section > details')];
  const section = (detail) => detail.parentElement.id;
  for (const detail of details) {
    detail.open = state.open.includes(section(detail));
    detail.addEventListener('toggle', () => {
      state.open = details.filter(({ open }) => open).map(section);
      keep();
    });
  }

  const [told, button] = [live.querySelector('[role=status]'), live.querySelector('button')];
  const goesOn = told.textContent;
  const tell = () => {
    told.textContent = state.paused ? 'Paused: this page stays as it is, whatever is recorded.' : goesOn;
    button.textContent = state.paused ? 'Go on' : 'Pause';
  };
  button.addEventListener('click', () => {
    state.paused = !state.paused;
    keep();
    tell();
  });
  button.hidden = false;
  tell();

  let touched = -Infinity;
  for (const event of ['pointerdown', 'pointermove', 'keydown', 'wheel']) {
    addEventListener(event, () => (touched = performance.now()), { passive: true });
  }
  setInterval(() => {
    if (!state.paused && performance.now() - touched > 3000) location.reload();
  }, Number(live.dataset.everyMs));
})();

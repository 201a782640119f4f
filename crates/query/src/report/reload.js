// Loads the page anew with what was recorded since, unless somebody is at it just now, and comes back to the
// epoch that was looked at.
(() => {
  const every = Number(document.querySelector('.live').dataset.everyMs);
  const sliders = [...document.querySelectorAll('.chart-slider input')];
  const key = 'stratigraph-epoch';
  for (const slider of sliders) {
    slider.addEventListener('input', () => {
      const moment = JSON.parse(slider.dataset.moments)[slider.value];
      // At its end it follows the run.
      if (slider.value === slider.max) sessionStorage.removeItem(key);
      else sessionStorage.setItem(key, moment);
    });
  }
  const looked = sessionStorage.getItem(key);
  const index = looked && sliders[0] ? JSON.parse(sliders[0].dataset.moments).indexOf(Number(looked)) : -1;
  if (index >= 0) {
    sliders[0].value = index;
    sliders[0].dispatchEvent(new Event('input'));
  }
  let touched = 0;
  for (const event of ['pointerdown', 'pointermove', 'keydown', 'wheel']) {
    addEventListener(event, () => (touched = performance.now()), { passive: true });
  }
  setInterval(() => {
    if (performance.now() - touched > 3000 || touched === 0) location.reload();
  }, every);
})();

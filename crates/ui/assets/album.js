// @ts-check
// Pictures of an album one by one, in place: by click, by the arrows of a keyboard, by a stroke of a finger. Without it, each
// picture is a page of its own. It also tells the gateway in which time zone its reader lives.
'use strict';
{
  const zone = document.querySelector('data[data-zone]');
  const here = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (zone instanceof HTMLDataElement && here) {
    const secure = location.protocol === 'https:' ? '; Secure' : '';
    document.cookie = `${zone.value}=${here}; Path=/; SameSite=Lax; Max-Age=31536000${secure}`;
  }

  /** Strokes and arrows. @param {EventTarget} place @param {(step: number) => void} go */
  const listen = (place, go) => {
    let from = NaN;
    place.addEventListener('keydown', (event) => {
      if (!(event instanceof KeyboardEvent) || event.altKey || event.ctrlKey || event.metaKey) return;
      // arrows within a film or a field are its own
      if (event.target instanceof HTMLMediaElement || event.target instanceof HTMLInputElement) return;
      if (event.key === 'ArrowLeft') go(-1);
      if (event.key === 'ArrowRight') go(1);
    });
    place.addEventListener('touchstart', (event) => {
      if (event instanceof TouchEvent) from = event.touches.length === 1 ? event.touches[0].clientX : NaN;
    }, { passive: true });
    place.addEventListener('touchend', (event) => {
      const moved = event instanceof TouchEvent ? event.changedTouches[0].clientX - from : 0;
      if (Math.abs(moved) > 48) go(moved < 0 ? 1 : -1);
      from = NaN;
    }, { passive: true });
  };

  const dialog = document.querySelector('dialog.lightbox');
  const image = dialog?.querySelector('img');
  const keep = dialog?.querySelector('a.keep');
  /** @type {HTMLAnchorElement[]} */
  const pictures = [...document.querySelectorAll('a[data-big]')].filter((one) => one instanceof HTMLAnchorElement);
  if (dialog instanceof HTMLDialogElement && image && keep instanceof HTMLAnchorElement) {
    let at = 0;
    const show = (/** @type {number} */ next) => {
      at = (next + pictures.length) % pictures.length;
      const { big = '', file = '', name = '' } = pictures[at].dataset;
      const small = pictures[at].querySelector('img');
      // what is there already stands until the large one has come
      image.src = small?.currentSrc || big;
      const large = new Image();
      large.addEventListener('load', () => { if (pictures[at].dataset.big === big) image.src = big; });
      large.src = big;
      image.alt = name;
      keep.href = file;
      keep.download = name;
      const caption = dialog.querySelector('.caption');
      if (caption) caption.textContent = `${name} · ${at + 1} of ${pictures.length}`;
      // the next one is likely wanted
      new Image().src = pictures[(at + 1) % pictures.length].dataset.big ?? '';
    };
    pictures.forEach((picture, index) => picture.addEventListener('click', (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
      event.preventDefault();
      show(index);
      dialog.showModal();
      history.pushState({ lightbox: true }, '');
    }));
    const step = (/** @type {number} */ by) => show(at + by);
    listen(dialog, step);
    dialog.querySelector('.back')?.addEventListener('click', () => step(-1));
    dialog.querySelector('.on')?.addEventListener('click', () => step(1));
    dialog.querySelector('.shut')?.addEventListener('click', () => dialog.close());
    dialog.addEventListener('close', () => {
      if (history.state?.lightbox) history.back();
      pictures[at].focus();
    });
    window.addEventListener('popstate', () => { if (dialog.open) dialog.close(); });
  } else {
    listen(document, (by) => {
      const link = document.querySelector(by < 0 ? 'a[rel=prev]' : '.steps a[rel=next]');
      if (link instanceof HTMLAnchorElement) location.replace(link.href);
    });
    document.addEventListener('keydown', (event) => {
      const up = document.querySelector('a[data-up]');
      if (event.key === 'Escape' && up instanceof HTMLAnchorElement) location.assign(up.href);
    });
  }
}

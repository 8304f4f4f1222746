// @ts-check
// Whoever's page opens over ours and closes under the second press of a double click has that press fall on a button that she has
// not seen. So no button decides anything until its page has been in front for a moment, and none by the second of two presses.
'use strict';
{
  /** Milliseconds in which somebody can look at what has just come to the front. */
  const SETTLING = 500;
  const root = document.documentElement;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  const settle = () => {
    root.classList.add('settling');
    clearTimeout(timer);
    timer = setTimeout(() => root.classList.remove('settling'), SETTLING);
  };
  // whoever comes by a press on a page of ours has it in front already; a page of others can go back to ours
  const [way] = performance.getEntriesByType('navigation');
  const isReturn = !(way instanceof PerformanceNavigationTiming) || way.type === 'back_forward';
  if (isReturn || !document.referrer.startsWith(`${location.origin}/`)) settle();
  window.addEventListener('focus', settle);
  window.addEventListener('pageshow', (event) => { if (event.persisted) settle(); });
  document.addEventListener('visibilitychange', () => { if (!document.hidden) settle(); });

  const stop = (/** @type {Event} */ event) => {
    event.preventDefault();
    event.stopImmediatePropagation();
  };
  const isTyping = () => document.activeElement instanceof HTMLInputElement && !/^(submit|checkbox|radio)$/.test(document.activeElement.type);
  document.addEventListener('click', (event) => {
    const button = event.target instanceof Element ? event.target.closest('button:not([type=button]), input[type=submit]') : null;
    const isKey = event.detail === 0 && isTyping();
    if (button && (event.detail > 1 || (root.classList.contains('settling') && !isKey))) stop(event);
  }, true);
  // by the keyboard as well, but for Enter in a field that somebody has just filled, and for a passkey: the window of the device
  // that asked for it was in front until now
  document.addEventListener('submit', (event) => {
    const isProven = event.target instanceof HTMLFormElement && event.target.dataset.done === 'yes';
    if (root.classList.contains('settling') && !isTyping() && !isProven) stop(event);
  }, true);
}

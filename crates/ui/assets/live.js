// Tells of requests while a page of the desk is open: the number beside Requests, and the list of requests itself, which is
// loaded anew unless somebody is about to answer.
'use strict';
{
  const link = document.querySelector('header.top nav a[href$="/requests"]');
  const list = document.querySelector('[data-live=requests]');
  if (link && window.EventSource) {
    const count = document.createElement('span');
    count.className = 'count';
    link.append(count);
    let first = null;
    new EventSource('/live').addEventListener('requests', (event) => {
      const waiting = Number(event.data);
      count.textContent = waiting ? ` ${waiting}` : '';
      first ??= list ? Number(list.dataset.waiting) : waiting;
      if (!list || waiting === first) return;
      const busy = list.dataset.touched || list.contains(document.activeElement);
      if (!busy) return location.reload();
      const status = list.querySelector('[role=status]');
      status.textContent = 'The list has changed. ';
      const again = document.createElement('a');
      again.href = location.href;
      again.textContent = 'Show it';
      status.append(again);
    });
    list?.addEventListener('change', () => { list.dataset.touched = 'yes'; });
  }
}

// A page that waits for somebody's answer loads itself anew as soon as there is one; where nobody tells, now and then.
'use strict';
{
  const place = document.querySelector('[data-news]');
  const again = () => location.reload();
  if (place && window.EventSource) {
    const news = new EventSource(place.dataset.news);
    news.addEventListener('answered', again);
    // a refusal closes it for good; a connection that ended is made anew by itself
    news.addEventListener('error', () => { if (news.readyState === EventSource.CLOSED) setTimeout(again, 15000); });
  } else setTimeout(again, 15000);
}

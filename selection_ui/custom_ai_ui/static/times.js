// Shows every <time> in the visitor's own language and time zone.
"use strict";

function localiseTimes(root) {
  const format = new Intl.DateTimeFormat(document.documentElement.lang, { dateStyle: "medium", timeStyle: "short" });
  for (const time of root.querySelectorAll("time[datetime]")) {
    const moment = new Date(time.dateTime);
    if (!Number.isNaN(moment.getTime())) {
      time.textContent = format.format(moment);
      time.title = time.dateTime;
    }
  }
}

localiseTimes(document);

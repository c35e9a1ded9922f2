/** `incrementer.ts FILE TIMES`: adds one to the row "count" so many times, as a process among others that do the same. */
import { openState } from "../open-state.ts";

const [file = "", times = "0"] = process.argv.slice(2);
const store = openState(file);
let count = 0;
for (let done = 0; done < Number(times); ) {
  const isDone = store.exchange((news) => {
    count = Number(JSON.parse(news.find(({ key }) => key === "count")?.text ?? String(count)));
    return [{ key: "count", text: String(++count) }];
  });
  if (isDone) done++;
}
store.close();

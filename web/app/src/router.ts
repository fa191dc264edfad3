import { useEffect, useState } from "preact/hooks";

// The address is the state: a path for the view, a query for filters. Everything that can be seen can be linked.

export interface Place {
  path: string[];
  query: URLSearchParams;
}

const listeners = new Set<() => void>();

export function place(): Place {
  const path = location.pathname.split("/").filter((part) => part !== "");
  return { path: path.map(decodeURIComponent), query: new URLSearchParams(location.search) };
}

function tell(): void {
  for (const listener of listeners) listener();
}
addEventListener("popstate", tell);

export function go(address: string): void {
  if (address === location.pathname + location.search) return;
  history.pushState(null, "", address);
  scrollTo(0, 0);
  tell();
}

// Changes filters in place: no new entry in the history for every key that is typed.
export function setQuery(changes: Record<string, string | null>): void {
  const query = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === "") query.delete(name);
    else query.set(name, value);
  }
  const text = query.toString();
  history.replaceState(null, "", location.pathname + (text === "" ? "" : `?${text}`));
  tell();
}

export function usePlace(): Place {
  const [now, setNow] = useState(place());
  useEffect(() => {
    const listener = (): void => setNow(place());
    listeners.add(listener);
    return () => void listeners.delete(listener);
  }, []);
  return now;
}

// Links within the page change the address without loading it again. Everything else is the browser's.
export function followLinks(event: MouseEvent): void {
  if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) {
    return;
  }
  const link = (event.target as Element).closest("a");
  if (!link || link.hasAttribute("download") || link.target) return;
  const href = link.getAttribute("href");
  if (!href || !href.startsWith("/") || href.startsWith("/api/")) return;
  event.preventDefault();
  go(href);
}

export function runPath(run: string, view = ""): string {
  return `/r/${encodeURIComponent(run)}${view === "" ? "" : `/${view}`}`;
}

export function candidatePath(id: number): string {
  return `/c/${id}`;
}

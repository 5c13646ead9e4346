import type { Session } from "./session";
export function Task({ session }: { session: Session }) {
  return <p>{session.content.title}</p>;
}

// Who is logged in and what the server has, as GET api/session tells it.
import { createContext, useContext } from "./html.js";
import { api, whenBack } from "./api.js";

export const SessionContext = createContext(null);
export const useSession = () => useContext(SessionContext);

// Returns the session; null if nobody is logged in.
export async function loadSession() {
  try {
    return await whenBack(() => api.get("api/session"));
  } catch (error) {
    if (error.status === 401) return null;
    throw error;
  }
}

const ROLES = ["user", "maker", "admin"];
export const mayAs = (session, role) => ROLES.indexOf(session.person.role) >= ROLES.indexOf(role);

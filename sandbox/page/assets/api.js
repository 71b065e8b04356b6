// Calls to the sandbox's control API.
export const control = document.documentElement.dataset.control;

const problem = async (response) => {
  const text = await response.text();
  try {
    const { error } = JSON.parse(text);
    return error?.message ?? error?.name ?? error ?? text;
  } catch {
    return text.trim() || response.statusText;
  }
};

// call resolves with the answer's JSON, or undefined if there is none; it rejects with the server's own words.
export async function call(method, path, body) {
  let response;
  try {
    response = await fetch(control + path, {
      method,
      headers: body === undefined ? {} : { "Content-Type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch {
    throw new Error("The sandbox does not answer");
  }
  if (!response.ok) throw Object.assign(new Error(await problem(response)), { status: response.status });
  const text = await response.text();
  return text.trim() === "" ? undefined : JSON.parse(text);
}

export const get = (path) => call("GET", path);
export const post = (path, body = {}) => call("POST", path, body);
export const fileURL = (id) => `${control}/files/${encodeURIComponent(id)}`;

// The texts in English: a section a page, with the keys of ko.js.
export default {
  common: {
    ok: "OK", cancel: "Cancel", close: "Close", again: "Try again", loading: "Loading…", copied: "Copied.",
    copyByHand: "The browser does not let this page copy. Select the text and copy it yourself.", save: "Save", remove: "Delete", add: "Add",
    name: "Name", created: "Created", updated: "Changed", open: "Open", copy: "Copy", download: "Download", none: "None",
    rows: "{n} rows", tokens: "{n} tokens", generated: "Written by the model",
  },
  shell: {
    home: "Start", prompts: "My prompts", batches: "Batches", apps: "Apps", tune: "Tuning", usage: "Usage", people: "People and keys",
    menu: "Menu", skip: "Skip to content", logout: "Log out {name}", language: "한국어", theme_system: "Theme: as the device",
    theme_light: "Theme: light", theme_dark: "Theme: dark",
  },
  errors: {
    offline: "The server cannot be reached. Try again in a moment.", broken: "The connection ended in the middle of the answer.",
    status: "The server answered {status}.", page: "The page could not be loaded. Reload it.",
    role: "You may not open this page. Ask an administrator.", missing: "There is no such page",
  },
  login: {
    title: "Log in", failed: "You could not be logged in", outTitle: "Please log in",
    outText: "Open the invitation link that you were given. On your own machine, open the link that the server printed when it started.",
  },

  // The start page
  home: {},

  // The list of prompts
  prompts: {},

  // The editor: writing
  editor: {},

  // The editor: testing on a table
  test: {},

  // The editor: versions
  versions: {},

  // The editor: sharing, and making an app
  share: {},

  // A prompt that was shared
  shared: {},

  // The list of apps, and the page of an app
  apps: {},

  // Batches
  batches: {},

  // Tuning
  tune: {},

  // Usage
  usage: {},

  // People and keys
  people: {},
};

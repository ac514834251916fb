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

  // Tables, tokens, reading files
  table: {
    cell: "{column} of row {row}", move: "Move row {row}", moveHelp: "Drag, or press the up and down arrows", remove: "Delete row {row}",
  },
  tokens: {
    title: "What might have stood in place of {text}", pickHelp: "Choose one to write on from there.", fromHere: "Write again from here",
  },
  import: {
    title: "Import a file", file: "File", help: "CSV, TSV or JSON lines. The encoding (UTF-8, CP949) is recognised.",
    bind: "Which column goes where?", leaveEmpty: "Leave empty", take: "Import {n} rows",
  },

  // Parts of the editor
  knobs: {
    title: "Settings", mode: "Settings shown", simple: "Simple", every: "All", model: "Model", modelGone: "This model is not served now. Choose another.",
    creativity: "Consistent ↔ creative", consistent: "Consistent", creative: "Creative", level: "{level} of 10", length: "Length of the answer", short: "Short", middle: "Medium", long: "Long",
    max_tokens: "Maximum tokens", max_tokensHelp: "The answer is no longer than this.",
    temperature: "Temperature", temperatureHelp: "0 always gives the same answer; higher values vary.",
    top_p: "Top P", top_pHelp: "Chooses among the likeliest words that have this probability together.",
    top_k: "Top K", top_kHelp: "Chooses among so many likeliest words; 0: no limit.",
    repetition_penalty: "Repetition penalty", repetition_penaltyHelp: "Above 1, words that were used are used less.",
    n: "Candidates", nHelp: "Shows several answers side by side.", stop: "Stop sequences", stopHelp: "They end the answer. Write a line break as \\n.",
    removeStop: "Remove the stop sequence {text}", start: "Inject start text", startHelp: "Stands between the input and the answer, such as \\nMood:",
    restart: "Inject restart text", restartHelp: "Stands between examples, and behind an answer when writing goes on.",
    logprobs: "Colour by probability", logprobsHelp: "Point at a word to see what might have stood there.",
    filter: "Output filter", filterShow: "Tell only", filterWorst: "Block the worst", filterStrict: "Block what is doubtful too", filterHelp: "It looks for: {categories}",
  },
  kind: {
    title: "What is the answer?", write: "Written text", choose: "One of several choices", shape: "A fixed shape (JSON)",
    choiceText: "What the model reads for {key}", removeChoice: "Remove the choice {key}", newChoice: "New choice (such as positive)", twoChoices: "Give two choices or more.",
    choiceHelp: "Left is the name in results, right is what the model reads. Each choice gets a probability.",
    typeOf: "Type of {name}", type_string: "Text", type_integer: "Whole number", type_number: "Number", type_boolean: "Yes/no", type_array: "List of texts", type_enum: "One of several",
    values: "Values of {name}", valuesHelp: "Separated by commas", newField: "New field", removeField: "Remove the field {name}", asJson: "Edit as a JSON schema", schema: "JSON schema",
    noObject: "This is no object.", shapeHelp: "The answer always has this shape. A small model may fill it poorly.", pattern: "Rule of the answer ({kind})",
  },
  examples: {
    title: "Examples", add: "Add an example", import: "From a file", columns: "Column names", none: "Three or four examples are enough to show the model how it goes.", answer: "{name} (answer)",
    balance: "Examples of each answer", bias: "Check for bias", calibrate: "Show calibration", biasTitle: "Bias of the examples", allFigures: "All figures",
    biasHelp: "How far the order and number of examples push the answer to a side. Nearer to 0 is better.",
    calibrateTitle: "Answers to an input without content", calibrateHelp: "What the model prefers when the input says nothing. The more even, the less bias; calibration takes it off the answers.",
    biasKind: "Bias", biasBefore: "Now", biasAfter: "Calibrated", biasSeen: "Is it there?", biasYes: "Yes", biasNo: "Not clear", biasPrior: "What the model chooses without examples:",
    bias_recency: "Towards the last example", bias_majority_label: "Towards the most frequent answer", bias_common_token: "Towards common words",
    before: "The input that was tried, as it is: {answer}", after: "Calibrated: {answer}",
    columnsHelp: "Templates and examples change with the name. To add a column, write {name} into the template of the input.", columnTaken: "The name is empty, taken, or not allowed.",
  },
  write: {
    view: "Edit as", view_blocks: "Blocks", view_text: "Free text", view_chat: "Chat",
    directive: "Directive", directiveHelp: "One or two sentences that say what is done. It stands once, on top.", directivePlaceholder: "Read the review and say its mood.",
    template: "Templates of input and answer", templateHelp: "{name} is a slot. {name:을/를} adds the Korean particle that fits.", label: "Label before the input", labelHelp: "Such as: Review: ",
    inputTemplate: "Template of the input", answerTemplate: "Template of the answer", input: "Try it", turns: "Turns", turns_once: "One at a time", turns_rolling: "Rolling", turns_several: "Several answers",
    noFields: "The template has no slot: the model goes on behind it.", run: "Run", again: "Run again", stop: "Stop", undo: "Undo", redo: "Redo", runHelp: "Ctrl+Enter runs too.",
    tokens: "The model reads {tokens} tokens and has room for {room} more", notYet: "It cannot run yet:", whole: "Show what the model reads",
    freeText: "Text", freeTextHelp: "The model goes on behind this text. What it writes is added here, and undo takes it out.", lastText: "Probabilities of the last text",
    toText: "Turn the blocks into one text? Examples and templates become one. Save a version first to be able to come back.", toTextAction: "Turn into text",
  },
  result: {
    title: "Answer", candidate: "Candidate {n}", usage: "{read} tokens read · {written} written", seconds: "{seconds} s", seed: "seed {seed}",
    stop_stop: "ended at a stop sequence", stop_eos: "ended by itself", stop_end: "ended by itself", stop_length: "ended at the maximum", stop_content_filter: "blocked by the output filter", stop_cancelled: "stopped",
    findings: "The output filter says:", dropped: "There was no room for {n} of the examples.", continue: "Go on", asExample: "Use as an example",
    broken: "The server was restarted or lost while it wrote. What was written is kept.", goOn: "Go on", again: "From the beginning",
    waiting: "The model is getting ready. The first answer takes a few seconds.",
    stopped: "Stopped.", running: "Writing.", ready: "Done.",
  },
  chat: {
    title: "Chat", system: "Role and tone", systemHelp: "What the model is told before the chat.", message: "Message", send: "Send", again: "Last message again", clear: "Clear the chat",
  },
  problems: {
    braces: "A brace { or } has no partner. Write {{ }} for the characters themselves.", answer: "The template of the answer has no slot for it.",
    answerBefore: "The slot of the answer stands in the input or the directive.", choices: "Give two choices or more.", exampleAnswer: "The answer of an example is no choice. Choose it in the table of examples.",
    exampleField: "An example lacks a field.", shape: "Give the shape one field or more.",
  },
  warnings: {
    "directive-joined": "The directive runs into the first example. End it with a line break.",
    "space-before-answer": "The template of the input ends with a space. Move it to the beginning of the answer.",
    "answer-joined": "Input and answer run into each other. Begin the answer with a space or a line break.",
    "no-separator": "Nothing stands between the examples. Give a restart text.",
    "separator-in-example": "An example has the separator in it. Choose another separator.",
    "unbalanced-examples": "Some answers have more examples, which may push answers their way.",
    "sorted-examples": "The examples are sorted by answer, which may favour the last. Shuffle them.",
    "empty-choice": "A choice is empty.", "choice-begins-another": "A choice is the beginning of another.", "equal-choices": "Two choices have the same text.",
    "no-stop": "Nothing stops the answer, so the model may invent the next example too.", "stop-in-answer": "A stop sequence is in the answer of an example.",
    "stop-not-in-separator": "The stop sequence is not in the separator.", "unknown-character": "The model does not know a character.",
    "over-budget": "There is no room for some examples.", "straddling-token": "The end of the input and the beginning of the answer are one token.",
    "shared-first-token": "The choices begin with the same token.", "unequal-lengths": "The choices have different lengths, which may favour the shorter.",
  },

  // The start page
  home: {},

  // The list of prompts
  prompts: {},

  // The editor: writing
  editor: {
    title: "Title", parts: "Parts of the editor", editor_write: "Write", editor_test: "Test on a table", editor_versions: "Versions", editor_share: "Share and apps",
    saveVersion: "Save a version", saveHelp: "Keeps the prompt as it is now, for good. What you edit is saved by itself.", note: "What has changed? (optional)",
    versionSaved: "Saved as version {number}.", showVersions: "Show versions", duplicate: "Duplicate", export: "Export", copyOf: "{title} (copy)",
    state_saved: "Saved", state_dirty: "Editing…", state_saving: "Saving…", state_away: "The server is away: your changes are kept in this browser.", state_conflict: "It was changed elsewhere too.",
    conflict: "This prompt was changed elsewhere too", conflictText: "Nothing is lost: choose one, and the other stays as a copy.",
    takeTheirs: "Take theirs, mine becomes a copy", takeMine: "Take mine, theirs becomes a copy", conflictKept: "The other is kept as “{title}”.",
  },

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

// The texts in English: a section a page, with the keys of ko.js.
export default {
  common: {
    ok: "OK", cancel: "Cancel", close: "Close", again: "Try again", loading: "Loading…", copied: "Copied.",
    copyByHand: "The browser does not let this page copy. Select the text and copy it yourself.", save: "Save", remove: "Delete", add: "Add",
    name: "Name", created: "Created", open: "Open", copy: "Copy", none: "None",
    rows: "{n} rows", tokens: "{n} tokens", generated: "Written by the model", asTable: "Show as a table",
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
    dayUsed: "Everything that may be used today is used up. Try again tomorrow.", tooMany: "Everything that may be used at the moment is used up. Try again in {seconds} seconds.",
    tooLong: "The text is too long. Shorten it and try again.", busy: "The server is busy or away. Try again in a moment.",
  },
  login: {
    title: "Log in", failed: "You could not be logged in", used: "This link was used already, or has expired. Ask an administrator for a new one; on your own machine, start the server again and open the link that it prints.", tooMany: "Too many wrong links were opened. Open yours again in a minute.", outTitle: "Please log in",
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
    title: "Import a file", file: "File", help: "Choose a CSV file; a spreadsheet is saved as one. TSV and JSON Lines are read, too, and the encoding (UTF-8, CP949) is recognised.",
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
    filter: "Output filter", filterShow: "Tell only", filterWorst: "Block the worst", filterStrict: "Block what is doubtful too", filterHelp: "It looks for: {categories}", category_insult: "insults", category_discrimination: "discrimination", category_sexualHarassment: "sexual harassment",
    filterLevel_0: "very likely", filterLevel_1: "possible", filterLevel_2: "unlikely", filterLeast: "The server allows nothing less strict.",
  },
  kind: {
    title: "What is the answer?", write: "Written text", choose: "One of several choices", shape: "A fixed shape (JSON)",
    choiceText: "What the model reads for {key}", removeChoice: "Remove the choice {key}", newChoice: "New choice (such as positive)", twoChoices: "Give two choices or more.",
    choiceTexts: "Give the model other texts for the choices", choiceHelp: "Left is the name in results, right is what the model reads. Each choice gets a probability.",
    typeOf: "Type of {name}", type_string: "Text", type_integer: "Whole number", type_number: "Number", type_boolean: "Yes/no", type_array: "List of texts", type_enum: "One of several",
    values: "Values of {name}", valuesHelp: "Separated by commas", newField: "New field", removeField: "Remove the field {name}", asJson: "Edit as a JSON schema", schema: "JSON schema",
    noObject: "This is no object.", shapeHelp: "The answer always has this shape. A small model may fill it poorly.", pattern: "Rule of the answer ({kind})",
  },
  examples: {
    title: "Examples", add: "Add an example", import: "From a file", columns: "Column names", none: "Three or four examples are enough to show the model how it goes.", answer: "{name} (answer)",
    balance: "Examples of each answer", bias: "Check for bias", biasFew: "A check for bias needs {n} examples of each answer. Please add some.", calibrate: "Show calibration", biasTitle: "Bias of the examples", allFigures: "All figures",
    biasHelp: "How far the order and number of examples push the answer to a side. Nearer to 0 is better.",
    calibrateTitle: "Answers to an input without content", calibrateHelp: "What the model prefers when the input says nothing. The more even, the less bias; calibration takes it off the answers.",
    biasKind: "Bias", biasBefore: "Now", biasAfter: "Calibrated", biasSeen: "Is it there?", biasYes: "Yes", biasNo: "Not clear", biasPrior: "What the model chooses without examples:",
    bias_recency: "Towards the last example", bias_majority_label: "Towards the most frequent answer", bias_common_token: "Towards common words",
    before: "The input that was tried, as it is: {answer}", after: "Calibrated: {answer}",
    tune: "Tune on these",
    columnsHelp: "Templates and examples change with the name. To add a column, write {name} into the template of the input.", columnTaken: "The name is empty, taken, or not allowed.",
  },
  write: {
    view: "Edit as", view_blocks: "Blocks", view_text: "Free text", view_chat: "Chat",
    directive: "Directive", directiveHelp: "One or two sentences that say what is done. It stands once, on top.", directivePlaceholder: "Read the review and say its mood.",
    template: "Templates of input and answer", templateHelp: "{name} is a slot. {name:을/를} adds the Korean particle that fits.", label: "Label before the input", labelHelp: "Such as: Review: ",
    inputTemplate: "Template of the input", answerTemplate: "Template of the answer", input: "Try it", turns: "Turns", turns_once: "One at a time", turns_rolling: "Rolling", turns_several: "Several answers",
    noFields: "The template has no slot: the model goes on behind it.", run: "Run", again: "Run again", stop: "Stop", earlier: "Earlier answer", later: "Later answer", exampleAdded: "Added at the end of the examples. See whether its answer is right.", undo: "Undo", redo: "Redo", runHelp: "Ctrl+Enter runs too.",
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
    empty: "It ended without writing anything.", stopped: "Stopped.", running: "Writing.", ready: "Done.",
  },
  chat: {
    title: "Chat", system: "Role and tone", systemHelp: "What the model is told before the chat.", message: "Message", send: "Send", again: "Last message again", clear: "Clear the chat",
  },
  problems: {
    braces: "A brace { or } has no partner. Write {{ }} for the characters themselves.", answer: "The template of the answer has no slot for it.",
    answerBefore: "The slot of the answer stands in the input or the directive.", choices: "Give two choices or more.", exampleAnswer: "Choose the answer of example {row}.",
    exampleField: "An example lacks a field.", shape: "Give the shape one field or more.",
    tooLong: "The text is so long that the answer has no room. Shorten the text, or the answer.",
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
  home: {
    title: "What shall we make?", describe: "Say in a sentence what you would like", describePlaceholder: "Sort film reviews into positive and negative", write: "Write a first draft", stop: "Stop",
    describeHelp: "The model drafts the directive and the examples. You change them afterwards.", writing: "The model is writing a draft…", failed: "There is no draft.",
    gallery: "Begin with a ready one", notes: "Good to know", take: "Begin with this", inside: "See what is in it", empty: "Empty prompt", last: "Changed last", all: "Show all",
    newTitle: "New prompt", newName: "New prompt", newField: "input", newAnswer: "Answer",
  },

  // The list of prompts
  prompts: {
    import: "From a file", noPrompt: "{name} has no prompt. Choose a file that “Export” has made.", untitled: "Untitled", search: "Search titles",
    found: "Prompts that match: {n}", all: "Prompts: {n}", more: "Show more", versions: "saved versions: {n}", noVersion: "no saved version",
    versionsOf: "Versions of “{title}”", duplicateOf: "Duplicate “{title}”", exportOf: "Export “{title}”", removeOf: "Delete “{title}”",
    removed: "“{title}” was deleted.", recover: "Bring it back", recovered: "“{title}” is back.", made: "“{title}” was made.",
    usedByApp: "An app answers with this prompt. Delete the app first.", showApps: "Show apps",
    none: "There are no prompts yet.", toStart: "Make the first",
  },

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
  test: {
    oneAnswer: "{name}: every row got the answer “{answer}”, which is no better than a guess. Add examples, or change the directive.",
    // Choosing a table
    chooseTitle: "Prepare the rows to test on", chooseText: "Collect several inputs and run them all at once. With a column of right answers, it is counted how many come out right.",
    newTable: "New empty table", fromFile: "From a file", tableOf: "Test of {title}", oldTable: "A table of yours", pickTable: "Choose a table", useTable: "Test on this table",
    noSlots: "This prompt has no slot", noSlotsText: "To test on a table, the prompt needs a slot such as {name} where the input goes. Under Write, choose to edit as blocks, and put a slot into the template of the input.", toWrite: "Go to Write",
    gold: "Right answer", answer: "Answer", wholeText: "The text as written",
    // Columns
    columns: "Columns, and what counts as right", slot: "Slot {name}", noColumn: "Choose a column", goldColumn: "Column of right answers", noGoldColumn: "Test without right answers", missingColumn: "No column goes into the slot {name}. Add one, or choose one under Columns.",
    addColumn: "Add the column {name}", rule: "What counts as right?", rule_equal: "Equal to the right answer", rule_contains: "Contains the right answer",
    repeats: "Times for each row", repeatsHelp: "Asks each row several times with different seeds, to see how stable the answer is. The first answer counts for accuracy.",
    // Running
    settings: "What is tested", draft: "The prompt as it is", addSetting: "Compare with…", removeSetting: "Take {name} out", stale: "older result", staleHelp: "The prompt was changed after these answers. Running fills the column anew, and keeps these as an earlier run.",
    runAll: "Run all", runRest: "Run the other {n}", runChanged: "Run {n} rows as changed", runFailed: "Run the {n} failed rows again", runAgain: "Run all again", runChosen: "Run the {n} chosen", pause: "Pause", resume: "Go on", progress: "Progress", doneOf: "{done} / {total}",
    paused: "Paused. The answers so far are kept.", running: "Answers are coming. You may close this page: what has come is kept, and the rest can be run later.", ready: "All rows were answered.", nothingToRun: "Fill the table below, and it can run.", nothingLeft: "These rows have their answers by these settings already.",
    waitAway: "Waiting for the server. It goes on by itself.", waitQuota: "The quota is used up for the moment. It goes on by itself soon.", waitQuotaLong: "The quota is used up. It goes on by itself in about {minutes} minutes.",
    leak: "{n} rows of the table are examples too: the model has read their answers. A fair test leaves them out.",
    // Comparing
    compareWith: "Compare with what?", compareKind: "Compare with", kind_version: "A saved version", kind_model: "Another model", kind_knob: "Another setting", kind_earlier: "An earlier run", compare: "Compare",
    nothingToCompare: "There is nothing to compare with yet. Save a version, or run once and then change the prompt.", version: "Version", versionName: "Version {number}", knob: "Setting", sameSetting: "That is what the prompt has. Choose another.", earlier: "Earlier run", earlierName: "Earlier: {title} ({date})",
    // Results
    summary: "Results", setting: "Setting", accuracy: "Right answers", rightOf: "{right} of {n} rows", interval: "likely between {low} and {high} (95%)", noGold: "not counted without right answers", notRun: "not run yet",
    macroF1: "Even score (macro F1)", stability: "Stability", latency: "Time", slowest: "slow ones {time}", tokens: "Tokens", failures: "Failed",
    onlyRight: "Only “{first}” is right in {a} rows, only “{second}” in {b}.", sameRights: "“{first}” and “{second}” are right in the same rows.", equallyGood: "They draw.", better: "“{name}” seems better.", notSure: "That is too little to call either better.", chance: "probability of as much by chance: {p}",
    confusion: "What was answered for what", confusionOf: "Show", confusionHelp: "Right answers are on the left, the model's answers on top. A number shows its rows.", confused: "Right answer {gold}, answered {answer}: {n} rows", confusedFilter: "right {gold} · answered {answer}", manyLabels: "There are {n} answers: too many for a matrix.",
    right: "right", wrong: "wrong", failed: "failed", differs: "differs", same: "{share} the same", probability: "p {share}", emptyAnswer: "(empty)",
    why_long: "The text is too long. Shorten the row, or the length of the answer.", why_quota: "The quota is used up. It goes on when there is some again.", why_gone: "The model is not served now. Choose another.", why_forbidden: "You may not use this model. Ask an administrator.", why_server: "The server could not answer this row. Try again in a moment.",
    detailTitle: "Row {row} · {name}", rowAgain: "This row again", showTokens: "Show token probabilities",
    // The table
    table: "Table of the test", tableName: "Name of the table", addRow: "Add a row", rowsRemoved: "Rows deleted: {n}.", undo: "Undo", addGold: "Add a column of right answers", export: "Download with results (CSV)", otherTable: "Another table", tableSplit: "The table was changed elsewhere too. That one is shown, and your changes are kept as “{name}”.",
    filter: "Rows shown", filter_all: "All", filter_wrong: "Wrong", filter_differs: "Different", filter_failed: "Failed", filter_missing: "Not run", filter_chosen: "Chosen",
    chooseAll: "Choose all rows shown", chooseRow: "Choose row {row}", csv_answer: "answer", csv_right: "right (O/X)", csv_ms: "milliseconds", csv_tokens: "tokens", csv_error: "error",
    addExamples: "Add the wrong rows to the examples", addChosen: "Add the {n} wrong rows chosen to the examples", addExamplesHelp: "Shown as examples with their right answers, they help against mistakes of the kind. You may choose a few of them first.", addExamplesAsk: "Add {n} wrong rows to the examples?", examplesAdded: "{n} examples added. A fair test leaves these rows out.", takeOut: "Take them out of the test", noExamples: "None of the rows can be an example. Fill the column of right answers first.",
  },

  // The editor: versions
  versions: {
    number: "Version {number}", draft: "As it is now", none: "No version is saved yet", noneHelp: "“Save a version” keeps the prompt as it is now, to be compared or restored later.",
    isKept: "The prompt is as in version {number}.", isNotKept: "As it is now, the prompt is not saved as a version yet.",
    compare: "What has changed", compareNow: "Compare with now", before: "Before", after: "After", swap: "Swap", same: "Nothing differs.", raw: "Compare the files (JSON)",
    removed: "Taken out:", added: "Put in:", folded: "{n} equal lines", choice: "Choice “{key}”",
    part_parser: "How the answer is read", part_budget: "Most tokens of the text", part_answer_field: "Name of the answer's column", part_table: "Table of tests",
    row_removed: "Example {row} was taken out", row_added: "Example {row} was put in", row_changed: "Example {row} was changed",
    view: "View", restore: "Restore", copy: "As a new prompt", restoreTitle: "Restore version {number}?",
    restoreText: "As it is now, the prompt is not saved as a version. Save one to be able to come back.", restoreKept: "As it is now, the prompt is saved as a version: you can come back at any time.",
    restoreOnly: "Restore without saving", keepAndRestore: "Save and restore", beforeRestore: "Before version {number} was restored", restored: "Version {number} is restored.",
  },

  // The editor: sharing, and making an app
  share: {
    version: "Which version?", versionHelp: "Others see the version that you choose. What you change later does not change it.", draft: "As it is now (saved as a new version)", note: "Saved to be shared",
    links: "Show it by a link", linksHelp: "Who has the link can see it without logging in. You can revoke it at any time.", onlyHere: "This address opens on this machine alone. To send it to others, serve the Studio at an address that they reach.", mode: "Others may",
    mode_copy: "take a copy", mode_read: "only read it", makeLink: "Make a link and copy it", linkName: "Version {number} · {mode}", copyLink: "Copy the link",
    revoke: "Revoke", revokeAsk: "Revoke this link? Nobody can open it any more.", revoked: "The link is revoked.",
    app: "Make an app", appHelp: "A page with nothing but input and answer, and an address that programs can call.",
    appTitle: "Name of the app", noTitle: "Give it a name.", slug: "Address (optional)", notMaker: "Makers and administrators make apps. Ask an administrator.", slugHelp: "3 to 40 small letters, digits and hyphens. Left empty, it is made for you.",
    slugTaken: "This address is taken. Choose another.", slugWrong: "Use small letters, digits and hyphens, such as my-review",
    quota: "Most requests a day", quotaHelp: "Left empty, there is no limit.", noQuota: "Give a whole number, 0 or more.", quotaTooHigh: "This is more than you may ask for in a day yourself.", makeApp: "Make the app", another: "Make another app", manage: "Manage",
    appReady: "The app “{title}” is ready", once: "The key is shown this once. Copy the link or the key. If it is lost, the page of apps makes a new one.",
    appLink: "Link with the key", appLinkHelp: "Everyone who has this link can use the app.", key: "Key", keyHelp: "For programs that call the app.", tryApp: "Open the app", kept: "I have copied it",
    code: "Call it from code", target: "What is called?", target_app: "This app", target_model: "The model (without an app)", language: "Language", language_curl: "Terminal (curl)", language_python: "Python",
    copyCode: "Copy the code", keyFromName: "The code reads the key from the environment variable {name}. The key of an app is shown once when it is made; a key of the model comes from an administrator.", noApp: "Make an app above first.",
    modelHelp: "Calls the model without an app. The text was made from the input that was tried last.", openaiHelp: "It is the route of OpenAI: programs for it need another address alone.", choiceHelp: "It compares the probabilities of the choices, as the Studio does.",
    sample: "{name} sample", sampleMessage: "Hello!",
  },

  // A prompt that was shared
  shared: {
    version: "A shared prompt · version {number}", note: "Note of the version:", help: "Somebody shows you this prompt by a link.", readOnly: "You may read it.", mayCopy: "Take a copy to change it and use it.",
    logIn: "Log in to take a copy and change it.", take: "Take a copy", gone: "This link does not open any more", goneHelp: "It was revoked, or the address is wrong. Ask for a new link.",
  },

  // The list of apps, and the page of an app
  apps: {
    note: "Apps that you have made of prompts, under “Share and apps”.", none: "There are no apps yet. Open a prompt and make one under “Share and apps”.", prompt: "Open the prompt", address: "Address",
    used: "Used {used} times today", usedOf: "Used {used} of {quota} times today", change: "Change", changeTitle: "Change “{title}”", version: "Version that answers", versionHelp: "Another version answers at once.", saved: "Changed.",
    newKey: "New key", newKeyAsk: "Make a new key for “{title}”? The key that it has, and links with it, will not work any more.",
    removeAsk: "Delete the app “{title}”? This cannot be undone; its address and key will not work any more.", removed: "The app “{title}” was deleted.",
    input: "Input", ask: "Get the answer", blocked: "The output filter has blocked the answer. Try other words.", broken: "The connection ended in the middle of the answer. This is what came.",
    wrongKey: "The key is missing or wrong. Ask whoever gave you this app for the link again.", gone: "There is no such app", goneHelp: "It was deleted, or the address is wrong.",
  },

  // Batches
  batches: {
    note: "Runs a prompt over all rows of a file. The server goes on when you close this page.", add: "New batch", none: "No batches yet", noneText: "Give it a whole file: the mood of a thousand reviews, or copy for a hundred products.",
    list: "Batches", state: "State", progress: "Progress", state_waiting: "waits its turn", state_running: "running", state_paused: "paused", state_done: "done", state_failed: "stopped by an error", doneOf: "{done} / {total} rows", failedRows: "{n} failed",
    // A new batch
    newTitle: "Run a whole file", prompt: "Prompt", pickPrompt: "Choose a prompt", which: "Which of it?", draft: "As it is now", version: "Version {number}", file: "File", bindTitle: "Which column goes into which slot?", slot: "Slot {name}", pickColumn: "Choose a column",
    noSlots: "This prompt has no slot: every row would read the same.", invalid: "This prompt cannot run yet:", preview: "What the model reads for the first row", estimate: "About {perRow} tokens are read for each row, {all} in all.", quotaHint: "Where a quota is used up, it waits and goes on by itself.",
    name: "Name", start: "Run {n} rows", noPrompts: "Make a prompt first.", toPrompts: "To my prompts",
    // One batch
    back: "Batches", pause: "Pause", resume: "Go on", retry: "Run failed rows again", csv: "Download CSV", jsonl: "Download JSON lines", removeAsk: "Delete “{name}” and its results? This cannot be undone.", removed: "Deleted.",
    rate: "{n} rows a minute", left: "{time} left", minutes: "about {n} minutes", hours: "about {n} hours", moment: "less than a minute", created: "begun {date}", ended: "ended {date}", away: "The server is away. It goes on when it is back; finished rows are kept.", back_again: "The server is back, and goes on where it was.",
    reason: "It waits:", failedReason: "It has stopped:", results: "Results", row: "Row", answer: "Answer", text: "Text", probability: "Probability", notYet: "not yet", page: "Rows {from}–{to} of {total}", before: "Back", next: "Next", fetchedWhile: "The results so far can be downloaded while it runs.",
  },

  // Tuning
  tune: {
    title: "Tuning", help: "Shows a model many examples, so that it suits your task. The model itself stays as it is.",
    new: "Tune a model", newHelp: "Choose examples, choose a way, give it a name.", toList: "To the list",
    noTuning: "This server takes no tuning. Ask its administrator.",
    noJobs: "No model has been tuned yet", noJobsHelp: "Where three or four examples do not suffice, tuning on some dozens makes the model better.",
    running: "Under way", models: "Tuned models", noModels: "None yet. They appear here when tuning has ended.", past: "{n} past jobs",
    modelName: "Model", result: "Result", made: "Made", bytes: "Size", away: "The server cannot be reached. This page goes on once it is back.",
    removeAsk: "Delete the model “{name}”? It cannot be brought back.", removeUsed: "The model “{name}” is used by: {titles}. Delete it all the same?",
    removeOne: "Delete {name}", removed: "“{name}” is deleted.",
    datasets: "{n} uploaded sets of examples", datasetsHelp: "Examples that were uploaded for tuning", removeRows: "Delete the uploaded examples “{name}”?", rowsInUse: "A job needs these examples. Delete them when it has ended.",
    step1: "What is learnt from?", step2: "How is it learnt?", step3: "Name it and start",
    source: "Where the examples are", source_prompt: "In a prompt", source_file: "In a file",
    prompt: "Prompt", choosePrompt: "Choose a prompt", noPrompt: "Without a prompt", promptHelp: "The directive and the templates of this prompt are learnt with.",
    promptFileHelp: "The columns of the file go into the slots of this prompt. Without one, two columns are enough: the input and the answer.",
    chooseFile: "Choose a file", otherFile: "Choose another file", plainInput: "Input", plainAnswer: "Answer",
    tested: "The test table has {n} rows with answers", tested_measure: "Measure with them", tested_learn: "Learn them too", tested_leave: "Leave them out", testName: "{name} test",
    nRows: "{n} rows to learn", nTested: "{n} rows to measure with", firstRows: "The first rows", mend: "Open the prompt and mend its examples", moreRows: "There are {n} more.",
    check_none: "There is nothing to learn from. Add examples to the prompt, or choose a file.", check_empty: "{n} rows have empty cells. Fill or delete them.",
    check_unknown: "Some answers are none of the choices: {names}", check_missing: "These choices have no example: {names}. Each needs one.",
    check_uneven: "Some answers have many more examples than others. More of the rare ones help.", check_clashing: "{n} inputs have different answers. See which is right.",
    check_twice: "{n} rows are there twice.", check_few: "There are only {n} rows. It works, but {few} or better 100 teach more.",
    way: "Way", kind_lora: "LoRA", kind_loraHelp: "Adds a small change to the model. Suits almost every task, tone and new knowledge too.",
    kind_p_tune: "P-tuning", kind_p_tuneHelp: "Learns an invisible beginning before the text, and nothing else. Very small; for few examples, or for choosing.",
    kind_prompt_tune: "Prompt tuning", kind_prefix_tune: "Prefix tuning", kind_finetune: "Full fine-tuning",
    epochs: "How often are the examples read?", epochsHelp: "About {steps} steps. Reading too often learns them by heart.",
    more: "More settings", pace: "Pace of learning", pace_slow: "Slow", pace_usual: "Usual", pace_fast: "Fast",
    size_lora: "Size of the change (rank)", size_p_tune: "Length of the beginning (tokens)", share: "Examples held out to measure", sharePercent: "{n}%",
    patient: "End early when nothing gets better", patientHelp: "Ends after four results that were no better, and keeps the best.",
    drop: "Leave out examples that are too long", dropHelp: "Otherwise it does not start, and says so.",
    name: "Name of the model", nameHelp: "It will be in the list of models as “{model}”. Letters, digits, dots, hyphens and underscores.",
    nameWrong: "Write up to 60 letters, digits, dots, hyphens or underscores, without spaces.",
    start: "Start tuning", starting: "Checking…", startHelp: "You may close this window once it has started.", startingHelp: "All examples are uploaded and read. It may take a moment.",
    exactError: "Show the server's own words",
    why_memory: "The memory did not suffice. Shorten the examples, or try again when the server has less to do.", why_long: "Some examples are too long. Shorten them, or leave them out under “More settings”.",
    why_choice: "An answer is none of the choices, or a choice has no example.", why_row: "A row lacks a field.", why_document: "The prompt is not finished yet. See first whether it runs in the editor.",
    why_disk: "The disk of the server is full. Tell its administrator.", why_gone: "The examples are not on the server any more. Upload them again.", why_server: "The server was restarted. It goes on where it was.",
    why_diverged: "The figures ran away. Try a slow pace under “More settings”.", why_name: "A model or a job has this name already. Choose another.", why_many: "Too many jobs have not ended. Try again when one has.",
    why_other: "This cannot be done as it is. The server's own words are below.",
    state_queued: "Waiting", state_running: "Learning", state_succeeded: "Done", state_failed: "Failed", state_cancelled: "Cancelled", state_interrupted: "Interrupted", state_cancelling: "Ending",
    progress: "Progress", queuedHelp: "It starts when its turn has come.", finishing: "All is read. The result is measured and kept.", preparing: "Getting ready. The first step takes about a minute.", steps: "Step {step} of {total} ({percent})", left: "about {time} left",
    hours: "{n} h", minutes: "{n} min", seconds: "{n} s", leaveHelp: "It goes on when you close this window, and after a restart of the server.",
    cancel: "Cancel", cancelAsk: "Cancel the tuning? What was learnt so far is lost.", cancellingHelp: "It ends after its step.",
    title_failed: "The tuning has failed", title_interrupted: "It was interrupted too often", title_cancelled: "It was cancelled", anew: "Tune again",
    done: "It has learnt", doneHelp: "“{model}” is in the list of models now. Open it in a new prompt to try it.", try: "Try this model", tryTitle: "Try {name}",
    deleted: "The model of this job was deleted.", notServed: "You cannot use this model: somebody else has tuned it, or it was deleted.", elsewhere: "This model is for another server.",
    lossTitle: "Loss", lossHelp: "Lower is better. Where the line of held-out examples rises again, the examples are learnt by heart.", lossTrain: "Learnt examples", lossHeldOut: "Held-out examples", factTrain: "Loss (learnt examples)", factHeldOut: "Loss (held-out examples)",
    accuracyTitle: "Held-out examples that were right (%)", accuracyHelp: "The nearer to 100, the better.", accuracy: "Right", step: "Step", plotHint: "Point at a line to see its figures.", took: "Time taken",
    accuracyOf: "{n} right", lossOf: "loss {n}", validationOf: "held-out loss {n}",
  },

  // Usage
  usage: {
    title: "Usage", noteAll: "What all people, apps and keys of this server have used.", noteOwn: "What you and your apps have used.",
    csv: "Download as CSV", period: "Period", days: "{n} days", show: "Show", kind_all: "All", kind_person: "People", kind_app: "Apps", kind_key: "Keys", one_person: "Person", one_app: "App", one_key: "Key",
    requests: "Requests", tokens: "Tokens", prompt_tokens: "Tokens read", completion_tokens: "Tokens written", day: "Day", kind: "Kind", key: "Key id",
    requestsByDay: "Requests of each day", tokensByDay: "Tokens read and written each day", users: "Who used how much", hint: "Point at a bar to see its figures.", none: "Nothing was used in this period.",
    utc: "Days are those of UTC. Today's figures may still grow.",
  },

  // People and keys
  people: {
    title: "People and keys", people: "People", keys: "Keys",
    peopleHelp: "People come in by an invitation link. There are no passwords, and a link works once.",
    add: "Invite somebody", personName: "Name", role: "Role", seen: "Last seen", limits: "Limits", actions: "Actions", me: "You", never: "Never",
    makeLink: "Make the link", linkOf: "The link of {name}", link: "Link", linkUntil: "It works until {time}.",
    linkHelp: "Send this link to {name}. It opens once, and is shown here alone. If it gets lost, make a new one.",
    newLink: "New link", newLinkOf: "New link for {name}", kept: "I have kept it",
    role_user: "User", role_userHelp: "Writes, runs and shares prompts.",
    role_maker: "Maker", role_makerHelp: "Also makes apps, and tunes models on examples.",
    role_admin: "Administrator", role_adminHelp: "Sees everything, and decides on people, keys and limits.",
    roleOf: "Role of {name}", roleSet: "{name} is now: {role}.", change: "Change",
    demoteSelf: "Give up being an administrator? You will not see this page any more.",
    lastAdmin: "There is only one administrator. Make another person one first.",
    removeAsk: "Remove {name}? They are logged out at once; what they made stays.", removeOne: "Remove {name}",
    limitsOf: "Limits of {name}", limitsHelp: "Empty means no limit. When one is used up, requests wait for the next minute or day.", noLimit: "No limit", notNumber: "Write a number, 0 or more.",
    requests_per_minute: "Requests a minute", requests_per_day: "Requests a day", tokens_per_minute: "Tokens a minute", tokens_per_day: "Tokens a day",
    short_requests_per_minute: "{n} requests a minute", short_requests_per_day: "{n} requests a day", short_tokens_per_minute: "{n} tokens a minute", short_tokens_per_day: "{n} tokens a day",
    keysHelp: "Keys are for programs that call the server, not for people. The key of an app is made on the page of apps.",
    makeKey: "Make a key", keyName: "Name", keyNameHelp: "Say what it is for, such as: search of the web site", scopes: "What it may do", lastUsed: "Last used",
    scope_inference: "Write and read", scope_inferenceHelp: "Lets the model write, and asks for probabilities.",
    scope_tuning: "Tune", scope_tuningHelp: "Uploads examples and tunes models.",
    scope_admin: "Administer", scope_adminHelp: "Makes keys and sees everything. Give it only where it is needed.", scope_app: "App",
    kind: "Use", kind_service: "Service", kind_test: "Test", expires: "Until", daysLong: "{n} days", forever: "No end", until: "until {time}",
    state_active: "Active", state_expired: "Expired", state_revoked: "Revoked",
    revoke: "Revoke", revokeOne: "Revoke the key {name}", revokeAsk: "Revoke the key “{name}”? Programs that use it stop at once, and it cannot be brought back.",
    noKeys: "There are no keys yet.", showEnded: "Show ended keys too", otherKeys: "{n} keys of people and apps",
    otherKeysHelp: "Each person and each app has one by itself. Their limits are set in the tab of people and on the page of apps.",
    secretOf: "The key “{name}”", secret: "Key", secretHelp: "It is shown only now. Copy it to a safe place; if it gets lost, make a new one.",
    secretUse: "Programs send it with each request behind Authorization: Bearer.",
  },
};

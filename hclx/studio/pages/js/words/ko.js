// 한국어 문구. 구역마다 화면 하나이고, 키는 en.js와 같다.
export default {
  common: {
    ok: "확인", cancel: "취소", close: "닫기", again: "다시 시도", loading: "불러오는 중…", copied: "복사했습니다.",
    copyByHand: "브라우저가 복사를 막았습니다. 글을 직접 골라 복사해 주세요.", save: "저장", remove: "지우기", add: "추가",
    name: "이름", created: "만든 때", open: "열기", copy: "복사", none: "없음",
    rows: "{n}줄", tokens: "{n}토큰", generated: "모델이 지어낸 글", asTable: "표로 보기",
  },
  shell: {
    home: "시작", prompts: "내 프롬프트", batches: "한꺼번에 돌리기", apps: "앱", tune: "튜닝", usage: "사용량", people: "사람과 키",
    menu: "메뉴", skip: "본문으로", logout: "로그아웃 ({name})", language: "English", theme_system: "화면 밝기: 기기 설정",
    theme_light: "화면 밝기: 밝게", theme_dark: "화면 밝기: 어둡게",
  },
  errors: {
    offline: "서버에 닿지 않습니다. 잠시 뒤에 다시 해 주세요.", broken: "답이 오는 도중에 서버와 끊어졌습니다.",
    status: "서버가 {status}번으로 답했습니다.", page: "화면을 불러오지 못했습니다. 새로 고쳐 주세요.",
    role: "이 화면을 열 권한이 없습니다. 관리자에게 부탁해 주세요.", missing: "없는 화면입니다",
    dayUsed: "오늘 쓸 수 있는 만큼을 다 썼습니다. 내일 다시 해 주세요.", tooMany: "지금 쓸 수 있는 만큼을 다 썼습니다. {seconds}초쯤 뒤에 다시 해 주세요.",
    tooLong: "글이 너무 깁니다. 줄여서 다시 해 주세요.", busy: "서버가 바쁘거나 쉬고 있습니다. 잠시 뒤에 다시 해 주세요.",
  },
  login: {
    title: "로그인", failed: "로그인하지 못했습니다", used: "이 링크는 이미 썼거나 기한이 지났습니다. 관리자에게 새 링크를 부탁하거나, 내 컴퓨터라면 서버를 다시 시작해 새로 나온 링크를 열어 주세요.", tooMany: "틀린 링크가 여러 번 열렸습니다. 1분 뒤에 다시 열어 주세요.", outTitle: "로그인이 필요합니다",
    outText: "받은 초대 링크를 열어 주세요. 내 컴퓨터에서 쓰고 있다면 서버를 시작한 창에 나온 링크를 열면 됩니다.",
  },

  // 표, 토큰, 파일 읽기
  table: {
    cell: "{row}번째 줄의 {column}", move: "{row}번째 줄 옮기기", moveHelp: "끌거나 위·아래 화살표 키로 옮깁니다", remove: "{row}번째 줄 지우기",
  },
  tokens: {
    title: "{text} 대신 올 수 있던 말", pickHelp: "고르면 거기부터 다시 씁니다.", fromHere: "이 말부터 다시 쓰기",
  },
  import: {
    title: "파일에서 가져오기", file: "파일", help: "CSV 파일을 고르세요. 엑셀은 ‘다른 이름으로 저장’에서 CSV로 저장하면 됩니다. TSV와 JSON Lines도 읽고, 한글 인코딩(UTF-8, CP949)은 스스로 알아봅니다.",
    bind: "어느 열을 어디에 넣을까요?", leaveEmpty: "비워 두기", take: "{n}줄 가져오기",
  },

  // 편집기의 부분
  knobs: {
    title: "설정", mode: "설정 보기", simple: "간단히", every: "자세히", model: "모델", modelGone: "이 모델은 지금 없습니다. 다른 모델을 골라 주세요.",
    creativity: "한결같이 ↔ 새롭게", consistent: "한결같이", creative: "새롭게", level: "10 가운데 {level}", length: "답의 길이", short: "짧게", middle: "보통", long: "길게",
    max_tokens: "최대 토큰 수", max_tokensHelp: "답이 이보다 길어지지 않습니다.",
    temperature: "온도 (temperature)", temperatureHelp: "0이면 늘 같은 답, 높을수록 여러 가지 답을 씁니다.",
    top_p: "상위 확률 합 (top P)", top_pHelp: "확률을 위에서부터 더해 이만큼까지의 말 가운데서 고릅니다.",
    top_k: "상위 개수 (top K)", top_kHelp: "가장 그럴듯한 몇 개 가운데서 고릅니다. 0이면 제한이 없습니다.",
    repetition_penalty: "반복 벌점", repetition_penaltyHelp: "1보다 크면 이미 쓴 말을 덜 씁니다.",
    n: "후보 수", nHelp: "답을 여러 개 나란히 봅니다.", stop: "멈춤 글", stopHelp: "이 글이 나오면 답을 끝냅니다. 줄바꿈은 \\n으로 씁니다.",
    removeStop: "멈춤 글 {text} 지우기", start: "입력 뒤에 붙는 글 (inject start text)", startHelp: "입력과 답 사이에 들어갑니다. 보기: \\n감정:",
    restart: "답 뒤에 붙는 글 (inject restart text)", restartHelp: "예시와 예시 사이, 그리고 이어 쓸 때 답 뒤에 들어갑니다.",
    logprobs: "확률을 색으로 보기", logprobsHelp: "낱말에 마우스를 올리면 대신 올 수 있던 말이 보입니다.",
    filter: "출력 필터", filterShow: "알려만 주기", filterWorst: "심한 것 막기", filterStrict: "의심되는 것도 막기", filterHelp: "살피는 것: {categories}", category_insult: "욕설·모욕", category_discrimination: "차별", category_sexualHarassment: "성희롱",
    filterLevel_0: "심함", filterLevel_1: "의심됨", filterLevel_2: "괜찮음", filterLeast: "이보다 느슨하게는 서버가 막아 두었습니다.",
  },
  kind: {
    title: "답을 어떻게 받을까요?", write: "글로 쓰기", choose: "보기에서 고르기", shape: "정해진 틀 (JSON)",
    choiceText: "{key}일 때 모델이 읽는 글", removeChoice: "보기 {key} 지우기", newChoice: "새 보기 (예: 긍정)", twoChoices: "보기를 둘 이상 넣어 주세요.",
    choiceTexts: "보기마다 모델이 읽을 글 따로 정하기", choiceHelp: "왼쪽은 결과에 쓰이는 이름, 오른쪽은 모델이 읽는 글입니다. 보기마다 확률이 나옵니다.",
    typeOf: "{name}의 종류", type_string: "글", type_integer: "정수", type_number: "수", type_boolean: "예/아니요", type_array: "글 목록", type_enum: "보기 가운데 하나",
    values: "{name}의 보기", valuesHelp: "쉼표로 나눠 적기", newField: "새 칸 이름", removeField: "칸 {name} 지우기", asJson: "JSON 스키마로 고치기", schema: "JSON 스키마",
    noObject: "객체가 아닙니다.", shapeHelp: "답은 반드시 이 틀을 따릅니다. 작은 모델에서는 뜻이 서툴 수 있어도 틀은 지킵니다.", pattern: "답의 규칙 ({kind})",
  },
  examples: {
    title: "예시", add: "예시 추가", import: "파일에서", columns: "열 이름", none: "예시를 서너 개만 보여 줘도 모델이 방법을 알아차립니다.", answer: "{name} (답)",
    balance: "답마다 예시 수", bias: "치우침 살피기", biasFew: "치우침을 살피려면 답마다 예시가 {n}개씩은 있어야 합니다. 예시를 더 넣어 주세요.", calibrate: "보정값 보기", biasTitle: "예시의 치우침", allFigures: "모든 수치",
    biasHelp: "예시의 순서나 수 때문에 답이 한쪽으로 기우는 정도입니다. 0에 가까울수록 좋습니다.",
    calibrateTitle: "내용 없는 입력에 대한 답", calibrateHelp: "뜻이 없는 입력에도 한쪽으로 기우는 만큼을 답에서 빼면 더 공정해집니다. 고르게 나올수록 치우침이 적습니다.",
    biasKind: "치우침", biasBefore: "지금", biasAfter: "보정한 뒤", biasSeen: "있다고 볼 만한가", biasYes: "있음", biasNo: "뚜렷하지 않음", biasPrior: "예시가 없을 때 모델이 고르는 비율:",
    bias_recency: "마지막 예시의 답을 따라감", bias_majority_label: "많은 예시의 답을 따라감", bias_common_token: "흔한 말을 따라감",
    before: "넣어 본 입력, 보정 전: {answer}", after: "보정한 뒤: {answer}",
    tune: "이 예시로 튜닝",
    columnsHelp: "이름을 바꾸면 틀과 예시가 함께 바뀝니다. 열을 더하려면 입력 틀에 {새이름}을 써 넣으세요.", columnTaken: "비었거나 이미 있거나 쓸 수 없는 이름입니다.",
  },
  write: {
    view: "편집 방식", view_blocks: "칸으로", view_text: "자유 글", view_chat: "대화",
    directive: "지시", directiveHelp: "무엇을 하는지 한두 문장으로 씁니다. 맨 위에 한 번 들어갑니다.", directivePlaceholder: "다음 후기를 읽고 감정을 말합니다.",
    template: "입력과 답의 틀", templateHelp: "{이름}은 빈칸입니다. {이름:을/를}처럼 쓰면 조사를 맞춰 줍니다.", label: "입력 앞에 붙는 말", labelHelp: "보기: 후기: ",
    inputTemplate: "입력 틀", answerTemplate: "답 틀", input: "넣어 보기", turns: "주고받기", turns_once: "한 번씩", turns_rolling: "이어서", turns_several: "여러 답",
    noFields: "입력 틀에 빈칸이 없습니다. 그대로 이어 씁니다.", run: "실행", again: "다시 실행", stop: "멈춤", earlier: "이전 답", later: "다음 답", exampleAdded: "예시 표 끝에 넣었습니다. 답이 맞는지 보고 고쳐 주세요.", undo: "되돌리기", redo: "다시 하기", runHelp: "Ctrl+Enter로도 실행됩니다.",
    tokens: "모델이 읽을 글 {tokens}토큰, 더 쓸 수 있는 자리 {room}토큰", notYet: "아직 실행할 수 없습니다:", whole: "모델이 읽는 글 그대로 보기",
    freeText: "글", freeTextHelp: "모델이 이 글 뒤를 이어 씁니다. 쓴 글은 여기에 붙고, 되돌리기로 뺄 수 있습니다.", lastText: "방금 쓴 글의 확률",
    toText: "칸을 자유 글로 바꿀까요? 예시와 틀이 한 글로 합쳐집니다. 앞 모습은 버전으로 저장해 두면 돌아올 수 있습니다.", toTextAction: "자유 글로",
  },
  result: {
    title: "답", candidate: "후보 {n}", usage: "읽은 {read} · 쓴 {written} 토큰", seconds: "{seconds}초", seed: "시드 {seed}",
    stop_stop: "멈춤 글에서 끝남", stop_eos: "스스로 끝냄", stop_end: "스스로 끝냄", stop_length: "최대 길이에서 끝남", stop_content_filter: "출력 필터가 막음", stop_cancelled: "멈춤",
    findings: "출력 필터가 알립니다:", dropped: "자리가 모자라 예시 {n}개를 뺐습니다.", continue: "이어 쓰기", asExample: "예시로 넣기",
    broken: "답을 쓰는 도중에 서버가 다시 시작되었거나 끊어졌습니다. 여기까지 쓴 글은 남아 있습니다.", goOn: "이어서 쓰기", again: "처음부터",
    waiting: "모델을 준비하고 있습니다. 처음 한 번은 몇 초 걸립니다.",
    empty: "아무것도 쓰지 않고 끝냈습니다.", stopped: "멈췄습니다.", running: "쓰는 중입니다.", ready: "다 썼습니다.",
  },
  chat: {
    title: "대화", system: "말투와 역할", systemHelp: "대화 맨 앞에서 모델에게 일러 두는 말입니다.", message: "메시지", send: "보내기", again: "마지막 말 다시", clear: "대화 지우기",
  },
  problems: {
    braces: "중괄호 { }의 짝이 맞지 않습니다. 글자 그대로 쓰려면 {{ }}처럼 두 번 적어 주세요.", answer: "답 틀에 답이 들어갈 빈칸이 없습니다.",
    answerBefore: "입력이나 지시에 답의 빈칸이 들어 있습니다.", choices: "보기를 둘 이상 넣어 주세요.", exampleAnswer: "{row}번 예시의 답을 골라 주세요.",
    exampleField: "빈칸이 모자란 예시가 있습니다.", shape: "정해진 틀에 칸을 하나 이상 넣어 주세요.",
    tooLong: "글이 길어 답이 들어갈 자리가 모자랍니다. 글을 줄이거나 답의 길이를 줄여 주세요.",
  },
  warnings: {
    "directive-joined": "지시와 첫 예시가 붙어 있습니다. 지시 끝에 줄바꿈을 넣어 주세요.",
    "space-before-answer": "입력 틀이 빈칸(띄어쓰기)으로 끝납니다. 빈칸은 답 틀의 앞으로 옮겨 주세요.",
    "answer-joined": "입력과 답이 붙어 있습니다. 답 틀 앞에 띄어쓰기나 줄바꿈을 넣어 주세요.",
    "no-separator": "예시 사이에 아무것도 없어 서로 이어집니다. 답 뒤에 붙는 글을 넣어 주세요.",
    "separator-in-example": "예시 안에 예시를 나누는 글이 들어 있습니다. 다른 글로 나눠 주세요.",
    "unbalanced-examples": "답마다 예시 수가 달라, 많은 쪽으로 기울 수 있습니다.",
    "sorted-examples": "예시가 답 순서로 늘어서 있어, 마지막 답으로 기울 수 있습니다. 섞어 주세요.",
    "empty-choice": "빈 보기가 있습니다.", "choice-begins-another": "한 보기가 다른 보기의 앞부분과 같습니다.", "equal-choices": "글이 같은 보기가 둘 있습니다.",
    "no-stop": "멈춤 글이 없어, 모델이 다음 예시까지 지어낼 수 있습니다.", "stop-in-answer": "멈춤 글이 예시의 답 안에 들어 있습니다.",
    "stop-not-in-separator": "멈춤 글이 예시를 나누는 글에 없습니다.", "unknown-character": "모델이 모르는 글자가 있습니다.",
    "over-budget": "글이 길어 예시 몇 개가 빠집니다.", "straddling-token": "입력의 끝과 답의 앞이 한 토큰으로 붙습니다.",
    "shared-first-token": "보기들의 첫 토큰이 같습니다.", "unequal-lengths": "보기의 길이가 서로 달라, 짧은 쪽으로 기울 수 있습니다.",
  },

  // 시작 화면
  home: {
    title: "무엇을 만들까요?", describe: "만들고 싶은 것을 한 문장으로 적어 주세요", describePlaceholder: "영화 후기를 긍정과 부정으로 나눠 줘", write: "초안 만들기", stop: "그만두기",
    describeHelp: "모델이 지시와 예시의 초안을 씁니다. 고치는 것은 그다음에 하면 됩니다.", writing: "모델이 초안을 쓰는 중입니다…", failed: "초안을 만들지 못했습니다.",
    gallery: "골라서 시작하기", notes: "알아 두기", take: "이걸로 시작하기", inside: "들어 있는 것 보기", empty: "빈 프롬프트", last: "최근에 고친 것", all: "모두 보기",
    newTitle: "새 프롬프트", newName: "새 프롬프트", newField: "입력", newAnswer: "답",
  },

  // 프롬프트 목록
  prompts: {
    import: "파일에서 가져오기", noPrompt: "{name}에는 프롬프트가 없습니다. ‘내보내기’로 받은 파일을 골라 주세요.", untitled: "제목 없음", search: "제목으로 찾기",
    found: "찾은 프롬프트 {n}개", all: "프롬프트 {n}개", more: "더 보기", versions: "저장한 버전 {n}개", noVersion: "저장한 버전 없음",
    versionsOf: "‘{title}’의 버전", duplicateOf: "‘{title}’ 복제", exportOf: "‘{title}’ 내보내기", removeOf: "‘{title}’ 지우기",
    removed: "‘{title}’ 프롬프트를 지웠습니다.", recover: "되살리기", recovered: "‘{title}’ 프롬프트를 되살렸습니다.", made: "‘{title}’ 프롬프트를 만들었습니다.",
    usedByApp: "이 프롬프트로 답하는 앱이 있어 지울 수 없습니다. 앱을 먼저 지워 주세요.", showApps: "앱 보기",
    none: "아직 프롬프트가 없습니다.", toStart: "처음 것 만들기",
  },

  // 편집기: 만들기
  editor: {
    title: "제목", parts: "편집기 부분", editor_write: "만들기", editor_test: "표로 시험", editor_versions: "버전", editor_share: "공유·앱",
    saveVersion: "버전으로 저장", saveHelp: "지금 모습을 고칠 수 없는 버전으로 남깁니다. 편집하는 동안의 모습은 저절로 저장됩니다.", note: "무엇이 달라졌나요? (없어도 됩니다)",
    versionSaved: "{number}번 버전으로 저장했습니다.", showVersions: "버전 보기", duplicate: "복제", export: "내보내기", copyOf: "{title} (사본)",
    state_saved: "저장됨", state_dirty: "고치는 중…", state_saving: "저장하는 중…", state_away: "서버에 닿지 않아 이 브라우저에 담아 두었습니다.", state_conflict: "다른 곳에서도 고쳤습니다.",
    conflict: "다른 곳에서도 이 프롬프트를 고쳤습니다", conflictText: "둘 다 잃지 않습니다. 하나를 고르면 다른 하나는 사본으로 남습니다.",
    takeTheirs: "저쪽 것으로 하고 내 것은 사본으로", takeMine: "내 것으로 하고 저쪽 것은 사본으로", conflictKept: "다른 쪽은 ‘{title}’로 남겼습니다.",
  },

  // 편집기: 표로 시험하기
  test: {
    oneAnswer: "{name}: 모든 줄에 ‘{answer}’라고 답했습니다. 찍은 것과 다르지 않습니다. 예시를 늘리거나 지시를 바꿔 보세요.",
    // 표 고르기
    chooseTitle: "시험할 줄을 준비해 주세요", chooseText: "입력을 여러 줄 모아 두고 한 번에 돌려 봅니다. 정답 열을 채우면 얼마나 맞는지도 셉니다.",
    newTable: "빈 표 만들기", fromFile: "파일에서 가져오기", tableOf: "{title} 시험", oldTable: "만들어 둔 표", pickTable: "표를 고르세요", useTable: "이 표로 시험",
    noSlots: "이 프롬프트에는 빈칸이 없습니다", noSlotsText: "표로 시험하려면 입력이 들어갈 {이름} 같은 빈칸이 있어야 합니다. ‘만들기’에서 편집 방식을 ‘칸으로’ 두고 입력 틀에 빈칸을 넣어 주세요.", toWrite: "만들기로 가기",
    gold: "정답", answer: "답", wholeText: "쓴 글 그대로",
    // 열
    columns: "열 맞추기와 채점 방법", slot: "빈칸 {name}", noColumn: "열을 고르세요", goldColumn: "정답이 있는 열", noGoldColumn: "정답 없이 시험", missingColumn: "프롬프트의 빈칸 {name}에 넣을 열이 없습니다. 열을 더하거나 ‘열 맞추기’에서 골라 주세요.",
    addColumn: "‘{name}’ 열 더하기", rule: "언제 맞았다고 볼까요?", rule_equal: "정답과 똑같을 때", rule_contains: "정답이 들어 있을 때",
    repeats: "같은 줄 되풀이", repeatsHelp: "한 줄을 시드를 바꿔 가며 여러 번 물어, 답이 얼마나 한결같은지 봅니다. 맞은 비율은 첫 번째 답으로 셉니다.",
    // 실행
    settings: "무엇을 시험하나요", draft: "지금 프롬프트", addSetting: "비교할 것 추가", removeSetting: "{name} 빼기", stale: "고치기 전 결과", staleHelp: "결과를 낸 뒤에 프롬프트가 바뀌었습니다. 다시 실행하면 새로 채우고, 지금 결과는 ‘이전 결과’로 남습니다.",
    runAll: "모두 실행", runRest: "남은 {n}줄 실행", runChanged: "바뀐 것으로 {n}줄 실행", runFailed: "실패한 {n}줄 다시 실행", runAgain: "모두 다시 실행", runChosen: "고른 {n}줄 실행", pause: "잠깐 멈춤", resume: "이어서", progress: "진행", doneOf: "{done} / {total}",
    paused: "잠깐 멈췄습니다. 나온 답은 남아 있습니다.", running: "답을 받는 중입니다. 이 화면을 닫아도 나온 답은 남고, 나머지는 나중에 이어서 돌릴 수 있습니다.", ready: "모두 답했습니다.", nothingToRun: "아래 표에 입력을 채우면 실행할 수 있습니다.", nothingLeft: "이 설정으로는 이미 모두 답한 줄입니다.",
    waitAway: "서버를 기다리고 있습니다. 돌아오면 저절로 이어집니다.", waitQuota: "지금은 허용량이 다 찼습니다. 조금 뒤 저절로 이어집니다.", waitQuotaLong: "허용량이 다 찼습니다. {minutes}분쯤 뒤에 저절로 이어집니다.",
    leak: "시험 표의 {n}줄이 예시와 같습니다. 모델이 정답을 이미 본 줄이니, 빼고 보는 것이 공정합니다.",
    // 견주기
    compareWith: "무엇과 견줄까요?", compareKind: "견줄 것", kind_version: "저장한 버전", kind_model: "다른 모델", kind_knob: "다른 설정값", kind_earlier: "이전 결과", compare: "견주기",
    nothingToCompare: "아직 견줄 것이 없습니다. 프롬프트를 버전으로 저장하거나 한 번 실행한 뒤에 고쳐 보세요.", version: "버전", versionName: "{number}번 버전", knob: "설정", sameSetting: "지금 프롬프트와 같은 값입니다. 다른 값을 골라 주세요.", earlier: "이전 결과", earlierName: "이전: {title} ({date})",
    // 결과
    summary: "결과", setting: "설정", accuracy: "맞은 비율", rightOf: "{n}줄 가운데 {right}줄", interval: "실력은 {low}에서 {high} 사이로 봅니다 (95%)", noGold: "정답이 없어 세지 못했습니다", notRun: "아직 돌리지 않았습니다",
    macroF1: "고르게 본 점수 (F1)", stability: "한결같음", latency: "걸린 시간", slowest: "느린 것은 {time}", tokens: "토큰", failures: "실패",
    onlyRight: "‘{first}’만 맞은 줄 {a}, ‘{second}’만 맞은 줄 {b}.", sameRights: "‘{first}’와 ‘{second}’는 맞은 줄이 똑같습니다.", equallyGood: "둘이 비깁니다.", better: "‘{name}’ 쪽이 낫다고 볼 만합니다.", notSure: "이만큼으로는 어느 쪽이 낫다고 하기 어렵습니다.", chance: "우연히 이만큼 벌어질 가능성 {p}",
    confusion: "정답과 모델의 답", confusionOf: "볼 것", confusionHelp: "왼쪽이 정답, 위가 모델의 답입니다. 숫자를 누르면 그 줄만 봅니다.", confused: "정답 {gold}, 답 {answer}: {n}줄", confusedFilter: "정답 {gold} · 답 {answer}", manyLabels: "답이 {n}가지라 표로 보이지 않습니다.",
    right: "맞음", wrong: "틀림", failed: "실패", differs: "다름", same: "같은 답 {share}", probability: "확률 {share}", emptyAnswer: "(빈 답)",
    why_long: "글이 너무 깁니다. 이 줄의 글이나 답의 길이를 줄여 주세요.", why_quota: "허용량이 다 찼습니다. 다시 찰 때 이어집니다.", why_gone: "쓰려던 모델이 지금 없습니다. 다른 모델을 골라 주세요.", why_forbidden: "이 모델을 쓸 권한이 없습니다. 관리자에게 부탁해 주세요.", why_server: "서버가 이 줄에 답하지 못했습니다. 잠시 뒤에 다시 해 주세요.",
    detailTitle: "{row}번째 줄 · {name}", rowAgain: "이 줄 다시", showTokens: "말마다 확률 보기",
    // 표
    table: "시험 표", tableName: "표 이름", addRow: "줄 추가", rowsRemoved: "{n}줄을 지웠습니다.", undo: "되돌리기", addGold: "정답 열 더하기", export: "결과까지 내려받기 (CSV)", otherTable: "다른 표", tableSplit: "다른 곳에서도 이 표를 고쳤습니다. 저쪽 표를 보이고, 고친 것은 ‘{name}’으로 따로 남겼습니다.",
    filter: "볼 줄", filter_all: "모두", filter_wrong: "틀린 줄", filter_differs: "서로 다른 줄", filter_failed: "실패한 줄", filter_missing: "아직 안 돌린 줄", filter_chosen: "고른 줄",
    chooseAll: "보이는 줄 모두 고르기", chooseRow: "{row}번째 줄 고르기", csv_answer: "답", csv_right: "맞음(O/X)", csv_ms: "밀리초", csv_tokens: "토큰", csv_error: "오류",
    addExamples: "틀린 줄을 예시로 넣기", addChosen: "고른 틀린 줄 {n}개를 예시로 넣기", addExamplesHelp: "틀린 줄을 정답과 함께 예시로 보여 주면 비슷한 실수가 줄어듭니다. 몇 줄만 골라 넣을 수도 있습니다.", addExamplesAsk: "틀린 {n}줄을 예시로 넣을까요?", examplesAdded: "예시 {n}개를 넣었습니다. 이 줄들은 시험에서 빼는 것이 공정합니다.", takeOut: "시험에서 빼기", noExamples: "예시로 넣을 수 있는 줄이 없습니다. 정답 열을 채웠는지 봐 주세요.",
  },

  // 편집기: 버전
  versions: {
    number: "{number}번 버전", draft: "지금 모습", none: "아직 저장한 버전이 없습니다", noneHelp: "‘버전으로 저장’을 누르면 지금 모습이 그대로 남아, 나중에 견주거나 되돌릴 수 있습니다.",
    isKept: "지금 모습은 {number}번 버전과 같습니다.", isNotKept: "지금 모습은 아직 버전으로 남지 않았습니다.",
    compare: "무엇이 달라졌나", compareNow: "지금과 견주기", before: "앞", after: "뒤", swap: "앞뒤 바꾸기", same: "달라진 곳이 없습니다.", raw: "파일 그대로(JSON) 견주기",
    removed: "뺀 줄:", added: "넣은 줄:", folded: "같은 줄 {n}개", choice: "보기 ‘{key}’",
    part_parser: "답을 읽는 법", part_budget: "글의 길이 한도", part_answer_field: "답 열의 이름", part_table: "시험 표",
    row_removed: "{row}번째 예시를 뺐습니다", row_added: "{row}번째 예시를 넣었습니다", row_changed: "{row}번째 예시를 고쳤습니다",
    view: "보기", restore: "되돌리기", copy: "새 프롬프트로", restoreTitle: "{number}번 버전으로 되돌릴까요?",
    restoreText: "지금 모습은 아직 버전으로 남지 않았습니다. 남겨 두면 다시 돌아올 수 있습니다.", restoreKept: "지금 모습은 버전으로 남아 있어 언제든 다시 돌아올 수 있습니다.",
    restoreOnly: "남기지 않고 되돌리기", keepAndRestore: "남기고 되돌리기", beforeRestore: "{number}번 버전으로 되돌리기 전", restored: "{number}번 버전으로 되돌렸습니다.",
  },

  // 편집기: 공유와 앱 만들기
  share: {
    version: "어느 버전을 보여 줄까요?", versionHelp: "받은 사람은 고른 버전을 봅니다. 나중에 고쳐도 이미 나간 것은 바뀌지 않습니다.", draft: "지금 모습 (새 버전으로 저장해서)", note: "링크를 만들며 저장",
    links: "링크로 보여 주기", linksHelp: "링크를 가진 사람은 로그인하지 않아도 볼 수 있습니다. 언제든 끌 수 있습니다.", onlyHere: "지금은 이 컴퓨터에서만 열리는 주소입니다. 다른 사람에게 보내려면 서버를 밖에서 닿는 주소로 띄워야 합니다.", mode: "받은 사람은",
    mode_copy: "가져가 고칠 수 있음", mode_read: "보기만", makeLink: "링크 만들어 복사", linkName: "{number}번 버전 · {mode}", copyLink: "링크 복사",
    revoke: "링크 끄기", revokeAsk: "이 링크를 끌까요? 받은 사람이 더는 열 수 없습니다.", revoked: "링크를 껐습니다.",
    app: "앱으로 만들기", appHelp: "입력 칸과 답만 있는 화면이 생깁니다. 프로그램에서 부를 수 있는 주소도 함께 생깁니다.",
    appTitle: "앱 이름", noTitle: "이름을 적어 주세요.", slug: "주소 (없어도 됩니다)", notMaker: "앱은 ‘만드는 사람’ 역할이 있어야 만들 수 있습니다. 관리자에게 부탁해 주세요.", slugHelp: "영어 소문자, 숫자, 붙임표(-)로 3~40자. 비워 두면 알아서 짓습니다.",
    slugTaken: "이미 쓰이는 주소입니다. 다른 주소를 적어 주세요.", slugWrong: "영어 소문자, 숫자, 붙임표(-)로만 지을 수 있습니다. 보기: my-review",
    quota: "하루에 몇 번까지", quotaHelp: "비워 두면 제한이 없습니다.", noQuota: "0 이상의 정수로 적어 주세요.", quotaTooHigh: "내가 하루에 쓸 수 있는 수보다 많습니다. 줄여 주세요.", makeApp: "앱 만들기", another: "앱 하나 더 만들기", manage: "관리하기",
    appReady: "‘{title}’ 앱이 생겼습니다", once: "키는 지금 한 번만 보입니다. 링크나 키를 복사해 두세요. 잃어버리면 앱 화면에서 새로 만들 수 있습니다.",
    appLink: "키가 든 링크", appLinkHelp: "이 링크를 가진 사람은 누구나 앱을 쓸 수 있습니다.", key: "키", keyHelp: "프로그램에서 앱을 부를 때 씁니다.", tryApp: "앱 열어 보기", kept: "복사해 두었어요",
    code: "코드로 부르기", target: "무엇을 부를까요?", target_app: "이 앱", target_model: "모델 (앱 없이)", language: "언어", language_curl: "터미널 (curl)", language_python: "파이썬",
    copyCode: "코드 복사", keyFromName: "코드는 키를 환경 변수 {name}에서 읽습니다. 앱의 키는 만들 때 한 번만 보이고, 모델의 키는 관리자에게 받습니다.", noApp: "먼저 위에서 앱을 만들어 주세요.",
    modelHelp: "앱 없이 모델을 바로 부릅니다. 모델이 읽는 글은 마지막으로 넣어 본 입력으로 만들었습니다.", openaiHelp: "OpenAI와 같은 길이라, OpenAI용 프로그램에 주소만 바꿔 쓸 수 있습니다.", choiceHelp: "보기의 확률을 견주어 고르므로 스튜디오와 같은 답이 나옵니다.",
    sample: "{name} 예", sampleMessage: "안녕하세요?",
  },

  // 공유받은 프롬프트
  shared: {
    version: "공유받은 프롬프트 · {number}번 버전", note: "저장할 때 남긴 말:", help: "누군가 링크로 보여 준 프롬프트입니다.", readOnly: "보기만 할 수 있습니다.", mayCopy: "내 것으로 가져오면 고쳐 쓸 수 있습니다.",
    logIn: "로그인하면 내 것으로 가져와 고쳐 쓸 수 있습니다.", take: "내 것으로 가져오기", gone: "이 링크는 이제 열리지 않습니다", goneHelp: "보여 준 사람이 링크를 껐거나 주소가 틀렸습니다. 새 링크를 부탁해 보세요.",
  },

  // 앱 목록과 앱 화면
  apps: {
    note: "프롬프트의 ‘공유·앱’에서 만든 앱입니다.", none: "아직 앱이 없습니다. 프롬프트를 열고 ‘공유·앱’에서 만들 수 있습니다.", prompt: "프롬프트 열기", address: "주소",
    used: "오늘 {used}번 쓰였습니다", usedOf: "오늘 {quota}번 가운데 {used}번 쓰였습니다", change: "고치기", changeTitle: "‘{title}’ 고치기", version: "답하는 버전", versionHelp: "바꾸면 바로 새 버전이 답합니다.", saved: "고쳤습니다.",
    newKey: "새 키", newKeyAsk: "‘{title}’의 키를 새로 만들까요? 지금 키와 그 링크는 더는 쓸 수 없습니다.",
    removeAsk: "‘{title}’ 앱을 지울까요? 되돌릴 수 없고, 주소와 키를 더는 쓸 수 없습니다.", removed: "‘{title}’ 앱을 지웠습니다.",
    input: "입력", ask: "답 받기", blocked: "출력 필터가 답을 막았습니다. 다르게 적어 보세요.", broken: "답이 오는 도중에 끊어졌습니다. 여기까지가 받은 답입니다.",
    wrongKey: "키가 없거나 맞지 않습니다. 이 앱을 준 사람에게 링크를 다시 받아 주세요.", gone: "이 앱은 없습니다", goneHelp: "앱이 지워졌거나 주소가 틀렸습니다.",
  },

  // 한꺼번에 돌리기
  batches: {
    note: "파일의 모든 줄에 프롬프트를 돌립니다. 이 화면을 닫아도 서버가 이어서 합니다.", add: "새로 돌리기", none: "아직 한꺼번에 돌린 것이 없습니다", noneText: "후기 천 줄의 감정을 나누거나 상품 백 개의 소개 글을 쓸 때처럼, 파일 하나를 통째로 맡길 수 있습니다.",
    list: "한꺼번에 돌린 것", state: "상태", progress: "진행", state_waiting: "차례를 기다림", state_running: "돌리는 중", state_paused: "멈춰 둠", state_done: "끝남", state_failed: "멈춤: 오류", doneOf: "{done} / {total}줄", failedRows: "실패 {n}줄",
    // 새로 돌리기
    newTitle: "파일 한꺼번에 돌리기", prompt: "프롬프트", pickPrompt: "프롬프트를 고르세요", which: "어느 모습으로 돌릴까요?", draft: "지금 모습", version: "{number}번 버전", file: "파일", bindTitle: "어느 열을 어느 빈칸에 넣을까요?", slot: "빈칸 {name}", pickColumn: "열을 고르세요",
    noSlots: "이 프롬프트에는 빈칸이 없어, 줄마다 같은 글을 읽습니다.", invalid: "이 프롬프트는 아직 실행할 수 없습니다:", preview: "첫 줄을 넣으면 모델이 읽는 글", estimate: "줄마다 약 {perRow}토큰, 모두 약 {all}토큰을 읽습니다.", quotaHint: "허용량이 다 차면 저절로 멈췄다가, 다시 찰 때 이어서 합니다.",
    name: "이름", start: "{n}줄 돌리기", noPrompts: "먼저 프롬프트를 하나 만들어 주세요.", toPrompts: "내 프롬프트로",
    // 하나
    back: "한꺼번에 돌리기", pause: "잠깐 멈춤", resume: "이어서 돌리기", retry: "실패한 줄 다시", csv: "CSV 내려받기", jsonl: "JSON 줄 내려받기", removeAsk: "‘{name}’을 결과와 함께 지울까요? 되돌릴 수 없습니다.", removed: "지웠습니다.",
    rate: "1분에 {n}줄", left: "{time} 남음", minutes: "약 {n}분", hours: "약 {n}시간", moment: "1분 안", created: "{date}에 시작", ended: "{date}에 끝남", away: "서버가 자리를 비웠습니다. 돌아오면 이어집니다. 끝난 줄은 남아 있습니다.", back_again: "서버가 돌아와 하던 곳부터 이어서 하고 있습니다.",
    reason: "기다리는 까닭:", failedReason: "멈춘 까닭:", results: "결과", row: "줄", answer: "답", text: "쓴 글", probability: "확률", notYet: "아직", page: "{from}–{to}번째 줄, 모두 {total}줄", before: "이전", next: "다음", fetchedWhile: "돌리는 중에도 지금까지의 결과를 내려받을 수 있습니다.",
  },

  // 튜닝
  tune: {
    title: "튜닝", help: "예시를 많이 보여 주어 모델을 내 일에 맞춥니다. 원래 모델은 그대로 남습니다.",
    new: "새로 튜닝", newHelp: "예시를 고르고, 방법을 고르고, 이름을 붙이면 시작합니다.", toList: "목록으로",
    noTuning: "이 서버는 튜닝을 받지 않습니다. 관리자에게 물어봐 주세요.",
    noJobs: "아직 튜닝한 모델이 없습니다", noJobsHelp: "예시 서너 개로 부족할 때, 예시 수십 개로 모델을 튜닝하면 더 잘하게 됩니다.",
    running: "하고 있는 일", models: "튜닝한 모델", noModels: "아직 없습니다. 튜닝이 끝나면 여기에 생깁니다.", past: "지난 일 {n}개",
    modelName: "모델", result: "성적", made: "만든 때", bytes: "크기", away: "서버에 닿지 않습니다. 닿는 대로 이어서 보여 드립니다.",
    removeAsk: "모델 ‘{name}’을(를) 지울까요? 되살릴 수 없습니다.", removeUsed: "모델 ‘{name}’을(를) 쓰는 곳이 있습니다: {titles}. 그래도 지울까요?",
    removeOne: "{name} 지우기", removed: "‘{name}’을(를) 지웠습니다.",
    datasets: "올려 둔 예시 {n}개", datasetsHelp: "튜닝하려고 올린 예시 파일", removeRows: "올려 둔 예시 ‘{name}’을(를) 지울까요?", rowsInUse: "하고 있는 일이 이 예시를 씁니다. 끝난 뒤에 지워 주세요.",
    step1: "무엇을 보고 배울까요?", step2: "어떻게 배울까요?", step3: "이름을 붙이고 시작하기",
    source: "예시가 있는 곳", source_prompt: "프롬프트의 예시", source_file: "파일",
    prompt: "프롬프트", choosePrompt: "프롬프트를 골라 주세요", noPrompt: "프롬프트 없이", promptHelp: "이 프롬프트의 지시와 틀로 배웁니다.",
    promptFileHelp: "파일의 열을 이 프롬프트의 빈칸에 넣습니다. 프롬프트 없이 배우면 입력과 답, 두 열만 있으면 됩니다.",
    chooseFile: "파일 고르기", otherFile: "다른 파일 고르기", plainInput: "입력", plainAnswer: "답",
    tested: "시험 표에 답이 있는 {n}줄이 있습니다", tested_measure: "성적을 재는 데 쓰기", tested_learn: "함께 배우기", tested_leave: "쓰지 않기", testName: "{name} 시험",
    nRows: "배울 예시 {n}줄", nTested: "성적을 잴 {n}줄", firstRows: "처음 몇 줄", mend: "프롬프트를 열어 예시 고치기", moreRows: "이 밖에 {n}줄이 더 있습니다.",
    check_none: "배울 예시가 없습니다. 프롬프트에 예시를 넣거나 파일을 골라 주세요.", check_empty: "빈칸이 있는 줄이 {n}개입니다. 채우거나 지워 주세요.",
    check_unknown: "보기에 없는 답이 있습니다: {names}", check_missing: "예시가 하나도 없는 보기가 있습니다: {names}. 보기마다 예시가 있어야 합니다.",
    check_uneven: "답마다 예시 수가 많이 다릅니다. 적은 쪽을 더 넣으면 덜 치우칩니다.", check_clashing: "입력은 같은데 답이 다른 것이 {n}가지 있습니다. 어느 쪽이 맞는지 살펴봐 주세요.",
    check_twice: "똑같은 줄이 {n}개 있습니다.", check_few: "예시가 {n}줄뿐입니다. 할 수는 있지만, 적어도 {few}줄, 되도록 100줄이 넘어야 잘 배웁니다.",
    way: "방법", kind_lora: "LoRA (모델 덧대기)", kind_loraHelp: "모델에 작은 덧댐을 붙여 배웁니다. 말투나 새 지식까지 바뀌고, 거의 모든 일에 알맞습니다.",
    kind_p_tune: "말머리 학습 (p-tuning)", kind_p_tuneHelp: "글 앞에 붙는, 눈에 보이지 않는 말머리만 배웁니다. 아주 작고, 예시가 적거나 고르는 일에 알맞습니다.",
    kind_prompt_tune: "말머리 학습 (prompt tuning)", kind_prefix_tune: "말머리 학습 (prefix tuning)", kind_finetune: "모두 다시 배우기",
    epochs: "예시를 몇 번 되풀이해 읽을까요?", epochsHelp: "약 {steps}걸음입니다. 너무 많이 읽으면 예시를 외워 버립니다.",
    more: "자세히", pace: "배우는 빠르기", pace_slow: "천천히", pace_usual: "보통", pace_fast: "빠르게",
    size_lora: "덧댐의 크기 (rank)", size_p_tune: "말머리의 길이 (토큰)", share: "성적을 재려고 떼어 둘 예시", sharePercent: "{n}%",
    patient: "나아지지 않으면 일찍 끝내기", patientHelp: "성적이 네 번 이어서 나아지지 않으면 끝내고, 가장 좋았던 때를 남깁니다.",
    drop: "너무 긴 예시는 빼고 하기", dropHelp: "끄면, 너무 긴 예시가 있을 때 시작하지 않고 알려 줍니다.",
    name: "모델 이름", nameHelp: "다 되면 모델 목록에 ‘{model}’로 나옵니다. 글자, 숫자, 점, 붙임표, 밑줄만 쓸 수 있습니다.",
    nameWrong: "글자, 숫자, 점, 붙임표(-), 밑줄(_)로 60자까지 적어 주세요. 띄어쓰기는 안 됩니다.",
    start: "튜닝 시작", starting: "살펴보는 중…", startHelp: "시작하면 이 창을 닫아도 됩니다.", startingHelp: "예시를 올리고 모두 읽어 봅니다. 조금 걸릴 수 있습니다.",
    exactError: "서버가 한 말 그대로 보기",
    why_memory: "메모리가 모자랐습니다. 예시를 짧게 하거나, 서버에서 다른 일이 끝난 뒤에 다시 해 주세요.", why_long: "너무 긴 예시가 있습니다. 줄이거나, ‘자세히’에서 너무 긴 예시를 빼게 해 주세요.",
    why_choice: "보기와 맞지 않는 답이 있거나, 예시가 없는 보기가 있습니다.", why_row: "빠진 칸이 있는 줄이 있습니다.", why_document: "프롬프트가 아직 덜 되었습니다. 편집기에서 실행되는지 먼저 봐 주세요.",
    why_disk: "서버의 디스크가 가득 찼습니다. 관리자에게 알려 주세요.", why_gone: "예시 파일이 서버에 없습니다. 다시 올려 주세요.", why_server: "서버가 다시 시작되었습니다. 멈춘 데서 이어서 합니다.",
    why_diverged: "배우다가 수치가 흐트러졌습니다. ‘자세히’에서 천천히 배우게 해 보세요.", why_name: "같은 이름의 모델이나 일이 있습니다. 다른 이름을 붙여 주세요.", why_many: "끝나지 않은 일이 너무 많습니다. 하나가 끝난 뒤에 다시 해 주세요.",
    why_other: "그대로는 할 수 없습니다. 아래에 서버가 한 말이 있습니다.",
    state_queued: "차례를 기다림", state_running: "배우는 중", state_succeeded: "다 배움", state_failed: "실패", state_cancelled: "그만둠", state_interrupted: "끊김", state_cancelling: "그만두는 중",
    progress: "얼마나 배웠는지", queuedHelp: "차례가 되면 시작합니다.", finishing: "다 읽었습니다. 성적을 재고 마무리하는 중입니다.", preparing: "준비하는 중입니다. 첫 걸음까지 1분쯤 걸립니다.", steps: "{total}걸음 가운데 {step}걸음 ({percent})", left: "앞으로 약 {time}",
    hours: "{n}시간", minutes: "{n}분", seconds: "{n}초", leaveHelp: "이 창을 닫아도 계속합니다. 서버가 다시 시작되면 멈춘 데서 이어 합니다.",
    cancel: "그만두기", cancelAsk: "튜닝을 그만둘까요? 지금까지 배운 것은 남지 않습니다.", cancellingHelp: "하던 걸음을 마치고 멈춥니다.",
    title_failed: "튜닝하지 못했습니다", title_interrupted: "여러 번 끊겨 멈췄습니다", title_cancelled: "그만두었습니다", anew: "다시 튜닝",
    done: "다 배웠습니다", doneHelp: "모델 목록에 ‘{model}’이(가) 생겼습니다. 새 프롬프트로 열어 써 볼 수 있습니다.", try: "이 모델로 써 보기", tryTitle: "{name} 써 보기",
    deleted: "이 일로 만든 모델은 지워졌습니다.", notServed: "이 모델은 지금 나에게 보이지 않습니다. 다른 사람이 튜닝했거나 지운 모델입니다.", elsewhere: "이 모델은 다른 서버에서 씁니다.",
    lossTitle: "틀리는 정도", lossHelp: "낮을수록 좋습니다. 떼어 둔 예시의 선이 다시 올라가면 예시를 외우기 시작한 것입니다.", lossTrain: "배우는 예시", lossHeldOut: "떼어 둔 예시", factTrain: "틀리는 정도 (배우는 예시)", factHeldOut: "틀리는 정도 (떼어 둔 예시)",
    accuracyTitle: "떼어 둔 예시를 맞힌 비율 (%)", accuracyHelp: "100에 가까울수록 좋습니다.", accuracy: "맞힌 비율", step: "걸음", plotHint: "선을 짚으면 수치가 보입니다.", took: "걸린 시간",
    accuracyOf: "맞힌 비율 {n}", lossOf: "틀리는 정도 {n}", validationOf: "떼어 둔 예시에서 틀리는 정도 {n}",
  },

  // 사용량
  usage: {
    title: "사용량", noteAll: "이 서버를 쓰는 모든 사람과 앱, 키의 사용량입니다.", noteOwn: "나와 내 앱이 쓴 양입니다.",
    csv: "CSV로 내려받기", period: "기간", days: "{n}일", show: "누가", kind_all: "모두", kind_person: "사람", kind_app: "앱", kind_key: "키", one_person: "사람", one_app: "앱", one_key: "키",
    requests: "요청 수", tokens: "토큰", prompt_tokens: "읽은 토큰", completion_tokens: "쓴 토큰", day: "날짜", kind: "종류", key: "키 번호",
    requestsByDay: "날마다의 요청 수", tokensByDay: "날마다 읽고 쓴 토큰", users: "누가 얼마나", hint: "막대를 짚으면 수치가 보입니다.", none: "이 기간에는 쓴 기록이 없습니다.",
    utc: "하루는 세계 표준시(UTC)로 나눕니다. 한국에서는 아침 9시에 날이 바뀝니다. 오늘 수치는 아직 늘어날 수 있습니다.",
  },

  // 사람과 키
  people: {
    title: "사람과 키", people: "사람", keys: "키",
    peopleHelp: "사람은 초대 링크로 들어옵니다. 비밀번호는 없고, 링크는 한 번만 쓸 수 있습니다.",
    add: "사람 초대", personName: "이름", role: "역할", seen: "마지막으로 온 때", limits: "한도", actions: "할 수 있는 일", me: "나", never: "아직 없음",
    makeLink: "초대 링크 만들기", linkOf: "{name} 님의 링크", link: "링크", linkUntil: "{time}까지 쓸 수 있습니다.",
    linkHelp: "이 링크를 {name} 님에게 보내 주세요. 한 번만 열 수 있고, 여기서만 보입니다. 잃어버리면 새 링크를 만들면 됩니다.",
    newLink: "새 링크", newLinkOf: "{name} 님의 새 링크", kept: "옮겨 두었습니다",
    role_user: "쓰는 사람", role_userHelp: "프롬프트를 쓰고, 돌리고, 공유합니다.",
    role_maker: "만드는 사람", role_makerHelp: "거기에 더해 앱을 만들고, 예시로 모델을 튜닝합니다.",
    role_admin: "관리자", role_adminHelp: "모두의 것을 보고, 사람과 키와 한도를 정합니다.",
    roleOf: "{name} 님의 역할", roleSet: "{name} 님은 이제 ‘{role}’입니다.", change: "바꾸기",
    demoteSelf: "내 관리자 권한을 내려놓을까요? 이 화면을 더 볼 수 없게 됩니다.",
    lastAdmin: "관리자가 한 명뿐입니다. 다른 사람을 먼저 관리자로 정해 주세요.",
    removeAsk: "{name} 님을 지울까요? 바로 나가게 되고, 만든 것은 남습니다.", removeOne: "{name} 님 지우기",
    limitsOf: "{name}의 한도", limitsHelp: "비워 두면 제한이 없습니다. 다 쓰면 다음 분이나 다음 날까지 기다려야 합니다.", noLimit: "제한 없음", notNumber: "0 이상의 수를 적어 주세요.",
    requests_per_minute: "1분에 요청", requests_per_day: "하루에 요청", tokens_per_minute: "1분에 토큰", tokens_per_day: "하루에 토큰",
    short_requests_per_minute: "분당 {n}번", short_requests_per_day: "하루 {n}번", short_tokens_per_minute: "분당 {n}토큰", short_tokens_per_day: "하루 {n}토큰",
    keysHelp: "키는 사람이 아니라 프로그램이 서버를 부를 때 씁니다. 앱의 키는 앱 화면에서 만듭니다.",
    makeKey: "키 만들기", keyName: "이름", keyNameHelp: "어디에 쓸 키인지 알아보게 적어 주세요. 보기: 누리집 검색", scopes: "할 수 있는 일", lastUsed: "마지막으로 쓴 때",
    scope_inference: "글 쓰고 읽기", scope_inferenceHelp: "모델에게 글을 쓰게 하고, 확률을 묻습니다.",
    scope_tuning: "튜닝", scope_tuningHelp: "예시를 올리고 모델을 튜닝합니다.",
    scope_admin: "관리", scope_adminHelp: "키를 만들고 모두의 것을 봅니다. 꼭 필요할 때만 주세요.", scope_app: "앱",
    kind: "쓰임", kind_service: "서비스용", kind_test: "시험용", expires: "언제까지", daysLong: "{n}일", forever: "기한 없음", until: "{time}까지",
    state_active: "쓰는 중", state_expired: "기한 지남", state_revoked: "그만 씀",
    revoke: "그만 쓰기", revokeOne: "키 {name} 그만 쓰기", revokeAsk: "키 ‘{name}’을(를) 그만 쓸까요? 이 키를 쓰는 프로그램은 바로 멈추고, 되살릴 수 없습니다.",
    noKeys: "아직 키가 없습니다.", showEnded: "그만 쓰는 키도 보기", otherKeys: "사람과 앱의 키 {n}개",
    otherKeysHelp: "사람과 앱마다 하나씩 저절로 생긴 키입니다. 한도는 사람 탭과 앱 화면에서 정합니다.",
    secretOf: "키 ‘{name}’", secret: "키", secretHelp: "지금만 보입니다. 복사해서 안전한 곳에 두세요. 잃어버리면 새로 만들어야 합니다.",
    secretUse: "프로그램은 요청마다 Authorization: Bearer 뒤에 이 키를 붙여 보냅니다.",
  },
};

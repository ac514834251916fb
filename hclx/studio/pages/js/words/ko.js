// 한국어 문구. 구역마다 화면 하나이고, 열쇠는 en.js와 같다.
export default {
  common: {
    ok: "확인", cancel: "취소", close: "닫기", again: "다시 시도", loading: "불러오는 중…", copied: "복사했습니다.",
    copyByHand: "브라우저가 복사를 막았습니다. 글을 직접 골라 복사해 주세요.", save: "저장", remove: "지우기", add: "추가",
    name: "이름", created: "만든 때", updated: "고친 때", open: "열기", copy: "복사", download: "내려받기", none: "없음",
    rows: "{n}줄", tokens: "{n}토큰", generated: "모델이 지어낸 글",
  },
  shell: {
    home: "시작", prompts: "내 프롬프트", batches: "한꺼번에 돌리기", apps: "앱", tune: "길들이기", usage: "사용량", people: "사람과 열쇠",
    menu: "메뉴", skip: "본문으로", logout: "{name} 나가기", language: "English", theme_system: "화면 밝기: 기기 설정",
    theme_light: "화면 밝기: 밝게", theme_dark: "화면 밝기: 어둡게",
  },
  errors: {
    offline: "서버에 닿지 않습니다. 잠시 뒤에 다시 해 주세요.", broken: "답이 오는 도중에 서버와 끊어졌습니다.",
    status: "서버가 {status}번으로 답했습니다.", page: "화면을 불러오지 못했습니다. 새로 고쳐 주세요.",
    role: "이 화면을 열 권한이 없습니다. 관리자에게 부탁해 주세요.", missing: "없는 화면입니다",
  },
  login: {
    title: "로그인", failed: "로그인하지 못했습니다", outTitle: "로그인이 필요합니다",
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
    title: "파일에서 가져오기", file: "파일", help: "CSV, TSV, JSON 줄 파일. 글자 인코딩(UTF-8, CP949)은 스스로 알아봅니다.",
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
    filter: "출력 필터", filterShow: "알려만 주기", filterWorst: "심한 것 막기", filterStrict: "의심되는 것도 막기", filterHelp: "살피는 것: {categories}",
  },
  kind: {
    title: "답을 어떻게 받을까요?", write: "글로 쓰기", choose: "보기에서 고르기", shape: "정해진 틀 (JSON)",
    choiceText: "{key}일 때 모델이 읽는 글", removeChoice: "보기 {key} 지우기", newChoice: "새 보기 (예: 긍정)", twoChoices: "보기를 둘 이상 넣어 주세요.",
    choiceHelp: "왼쪽은 결과에 쓰이는 이름, 오른쪽은 모델이 읽는 글입니다. 보기마다 확률이 나옵니다.",
    typeOf: "{name}의 종류", type_string: "글", type_integer: "정수", type_number: "수", type_boolean: "예/아니요", type_array: "글 목록", type_enum: "보기 가운데 하나",
    values: "{name}의 보기", valuesHelp: "쉼표로 나눠 적기", newField: "새 칸 이름", removeField: "칸 {name} 지우기", asJson: "JSON 스키마로 고치기", schema: "JSON 스키마",
    noObject: "객체가 아닙니다.", shapeHelp: "답은 반드시 이 틀을 따릅니다. 작은 모델에서는 뜻이 서툴 수 있어도 틀은 지킵니다.", pattern: "답의 규칙 ({kind})",
  },
  examples: {
    title: "예시", add: "예시 추가", import: "파일에서", columns: "열 이름", none: "예시를 서너 개만 보여 줘도 모델이 방법을 알아차립니다.", answer: "{name} (답)",
    balance: "답마다 예시 수", bias: "치우침 살피기", calibrate: "보정값 보기", biasTitle: "예시의 치우침", allFigures: "모든 수치",
    biasHelp: "예시의 순서나 수 때문에 답이 한쪽으로 기우는 정도입니다. 0에 가까울수록 좋습니다.",
    calibrateTitle: "내용 없는 입력에 대한 답", calibrateHelp: "뜻이 없는 입력에도 한쪽으로 기우는 만큼을 답에서 빼면 더 공정해집니다. 고르게 나올수록 치우침이 적습니다.",
    biasKind: "치우침", biasBefore: "지금", biasAfter: "보정한 뒤", biasSeen: "있다고 볼 만한가", biasYes: "있음", biasNo: "뚜렷하지 않음", biasPrior: "예시가 없을 때 모델이 고르는 비율:",
    bias_recency: "마지막 예시의 답을 따라감", bias_majority_label: "많은 예시의 답을 따라감", bias_common_token: "흔한 말을 따라감",
    before: "넣어 본 입력, 보정 전: {answer}", after: "보정한 뒤: {answer}",
    columnsHelp: "이름을 바꾸면 틀과 예시가 함께 바뀝니다. 열을 더하려면 입력 틀에 {새이름}을 써 넣으세요.", columnTaken: "비었거나 이미 있거나 쓸 수 없는 이름입니다.",
  },
  write: {
    view: "편집 방식", view_blocks: "칸으로", view_text: "자유 글", view_chat: "대화",
    directive: "지시", directiveHelp: "무엇을 하는지 한두 문장으로 씁니다. 맨 위에 한 번 들어갑니다.", directivePlaceholder: "다음 후기를 읽고 감정을 말합니다.",
    template: "입력과 답의 틀", templateHelp: "{이름}은 빈칸입니다. {이름:을/를}처럼 쓰면 조사를 맞춰 줍니다.", label: "입력 앞에 붙는 말", labelHelp: "보기: 후기: ",
    inputTemplate: "입력 틀", answerTemplate: "답 틀", input: "넣어 보기", turns: "주고받기", turns_once: "한 번씩", turns_rolling: "이어서", turns_several: "여러 답",
    noFields: "입력 틀에 빈칸이 없습니다. 그대로 이어 씁니다.", run: "실행", again: "다시 실행", stop: "멈춤", undo: "되돌리기", redo: "다시 하기", runHelp: "Ctrl+Enter로도 실행됩니다.",
    tokens: "모델이 읽을 글 {tokens}토큰, 더 쓸 수 있는 자리 {room}토큰", notYet: "아직 실행할 수 없습니다:", whole: "모델이 읽는 글 그대로 보기",
    freeText: "글", freeTextHelp: "모델이 이 글 뒤를 이어 씁니다. 쓴 글은 여기에 붙고, 되돌리기로 뺄 수 있습니다.", lastText: "방금 쓴 글의 확률",
    toText: "칸을 자유 글로 바꿀까요? 예시와 틀이 한 글로 합쳐집니다. 앞 모습은 판(버전)으로 저장해 두면 돌아올 수 있습니다.", toTextAction: "자유 글로",
  },
  result: {
    title: "답", candidate: "후보 {n}", usage: "읽은 {read} · 쓴 {written} 토큰", seconds: "{seconds}초", seed: "시드 {seed}",
    stop_stop: "멈춤 글에서 끝남", stop_eos: "스스로 끝냄", stop_end: "스스로 끝냄", stop_length: "최대 길이에서 끝남", stop_content_filter: "출력 필터가 막음", stop_cancelled: "멈춤",
    findings: "출력 필터가 알립니다:", dropped: "자리가 모자라 예시 {n}개를 뺐습니다.", continue: "이어 쓰기", asExample: "예시로 넣기",
    broken: "답을 쓰는 도중에 서버가 다시 시작되었거나 끊어졌습니다. 여기까지 쓴 글은 남아 있습니다.", goOn: "이어서 쓰기", again: "처음부터",
    waiting: "모델을 준비하고 있습니다. 처음 한 번은 몇 초 걸립니다.",
    stopped: "멈췄습니다.", running: "쓰는 중입니다.", ready: "다 썼습니다.",
  },
  chat: {
    title: "대화", system: "말투와 역할", systemHelp: "대화 맨 앞에서 모델에게 일러 두는 말입니다.", message: "메시지", send: "보내기", again: "마지막 말 다시", clear: "대화 지우기",
  },
  problems: {
    braces: "중괄호 { }의 짝이 맞지 않습니다. 글자 그대로 쓰려면 {{ }}처럼 두 번 적어 주세요.", answer: "답 틀에 답이 들어갈 빈칸이 없습니다.",
    answerBefore: "입력이나 지시에 답의 빈칸이 들어 있습니다.", choices: "보기를 둘 이상 넣어 주세요.", exampleAnswer: "답이 보기에 없는 예시가 있습니다. 예시 표에서 답을 골라 주세요.",
    exampleField: "빈칸이 모자란 예시가 있습니다.", shape: "정해진 틀에 칸을 하나 이상 넣어 주세요.",
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
  home: {},

  // 프롬프트 목록
  prompts: {},

  // 편집기: 만들기
  editor: {
    title: "제목", parts: "편집기 부분", editor_write: "만들기", editor_test: "표로 시험", editor_versions: "판(버전)", editor_share: "공유·앱",
    saveVersion: "판으로 저장", saveHelp: "지금 모습을 고칠 수 없는 판으로 남깁니다. 편집하는 동안의 모습은 저절로 저장됩니다.", note: "무엇이 달라졌나요? (없어도 됩니다)",
    versionSaved: "{number}판으로 저장했습니다.", showVersions: "판 보기", duplicate: "복제", export: "내보내기", copyOf: "{title} (사본)",
    state_saved: "저장됨", state_dirty: "고치는 중…", state_saving: "저장하는 중…", state_away: "서버에 닿지 않아 이 브라우저에 담아 두었습니다.", state_conflict: "다른 곳에서도 고쳤습니다.",
    conflict: "다른 곳에서도 이 프롬프트를 고쳤습니다", conflictText: "둘 다 잃지 않습니다. 하나를 고르면 다른 하나는 사본으로 남습니다.",
    takeTheirs: "저쪽 것으로 하고 내 것은 사본으로", takeMine: "내 것으로 하고 저쪽 것은 사본으로", conflictKept: "다른 쪽은 ‘{title}’로 남겼습니다.",
  },

  // 편집기: 표로 시험하기
  test: {},

  // 편집기: 판(버전)
  versions: {},

  // 편집기: 공유와 앱 만들기
  share: {},

  // 공유받은 프롬프트
  shared: {},

  // 앱 목록과 앱 화면
  apps: {},

  // 한꺼번에 돌리기
  batches: {},

  // 길들이기
  tune: {},

  // 사용량
  usage: {},

  // 사람과 열쇠
  people: {},
};

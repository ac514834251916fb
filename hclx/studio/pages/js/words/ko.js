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

  // 시작 화면
  home: {},

  // 프롬프트 목록
  prompts: {},

  // 편집기: 만들기
  editor: {},

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

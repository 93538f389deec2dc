// All that the page says, in Korean: as words_en.js, where the places of the tour stand too.

const stepOnKo = ({ T }) =>
  T === 1 ? "시점이 더 있다면 숫자는 달라도 가중치는 같습니다." : "다음 시점 버튼(또는 →)을 눌러 보세요. 숫자는 변해도 가중치는 변하지 않습니다.";

const KOREAN = {
  skip: "격자로 건너뛰기",
  tour: "둘러보기",
  language: "English",
  languageLabel: "Read in English",
  shapes: "모양(shape)",
  lessons: "수업",
  lesson: (number, count) => `수업 ${number} / ${count}: 전체 목록`,
  learned: "한 문장으로:",
  axes: { time: "시간", batch: "배치", feature: "특성", "layer·direction": "층·방향" },
  axesShort: {},
  batchFirstOwn: (value) => `이 층: ${value ? "True" : "False"}`,
  batchFirstTitle: "같은 텐서의 처음 두 축을 서로 바꿔 읽고 모두 다시 계산합니다.",
  batchFirstSaid: (value, shape, N, T) =>
    `batch_first=${value ? "True" : "False"}: 같은 텐서 ${shape}를 시점 ${T}개짜리 시퀀스 ${N}개가 아니라 시점 ${N}개짜리 시퀀스 ${T}개로 읽어 모두 다시 계산했습니다. input과 output은 ${value ? "(배치, 시간, …)" : "(시간, 배치, …)"} 순서이고, h_0과 h_n의 축 순서는 그대로입니다.`,
  batchFirstBack: (value) => `batch_first=${value ? "True" : "False"}: 기록된 그대로입니다.`,
  batchFirstRefused: (N, T) =>
    `torch라면 이 호출은 오류입니다. h_0의 배치가 ${N}인데 ${T}이어야 하기 때문입니다. 여기서는 h_0을 0으로 두었습니다.`,
  batchFirstLengths: "lengths는 이렇게 읽으면 맞지 않으므로 모든 시점을 읽습니다.",
  batchFirstNone: "여기에는 배치 축이 없음",
  batchFirstPart: "이 페이지에 시퀀스가 다 있지는 않음",
  batchFirstTerms: "leak이나 drive가 이 시점들에 딸려 있음",
  unchanged: "순서 그대로",
  changes: "바꿔 보기:",
  zeroStates: "W_hh = 0",
  zeroInput: (t) => `x[${t}] = 0`,
  backward: "역전파",
  loss: "손실",
  lossOf: (step, value) => `${step} 다음의 손실: ${value}`,
  lossNone: "이 시점에는 손실이 없음",
  lossChoose: "이 시점의 손실을 넣거나 뺍니다",
  lossEntropy: (t, target, value) => `시점 ${t}의 손실은 ${value}입니다. 교차 엔트로피 −log p(“${target}”)입니다.`,
  lossSquare: (t, y, target, value, count) =>
    count === 1
      ? `시점 ${t}의 손실은 ${value}입니다. (y − 목표)²이고, y[${t}] = W_y h[${t}] + b_y = ${y}, 목표는 ${target}입니다.`
      : `시점 ${t}의 손실은 ${value}입니다. y[${t}] = W_y h[${t}] + b_y의 숫자 ${count}개에 대한 (y − 목표)²의 합이고, 목표는 ${target}입니다.`,
  lossIsUnit: (name, value, head) =>
    `여기에는 ${head ? "목표값이" : "출력층이"} 없으므로 output의 숫자 하나를 손실로 삼습니다: ${name} = ${value}`,
  lossMore: (n) => `… 그리고 시점 ${n}개의 손실이 더 있습니다.`,
  backAbout: "dL/dh는 이 숫자를 조금 바꿀 때 손실이 얼마나 달라지는지를 나타냅니다. 화살표와 선의 굵기가 기울기의 크기입니다.",
  backHint: "손실을 누르면 그 시점을 넣거나 뺍니다.",
  backMade: "이 기울기가 만들어지는 과정",
  backFrom: {
    loss: "손실에서",
    above: "위층에서",
    through: "h를 거쳐",
    next: "다음 상태에서",
    kept: "게이트로 남아",
    leaked: "1 − α로 남아",
  },
  backSlope: (name) => `dL/da는 ${name} 안쪽 합에서의 기울기입니다. dL/dh에 그 점에서의 ${name} 미분값을 곱한 값입니다.`,
  backSums: (rows, leaks) =>
    `dL/da는 ${leaks ? "유닛마다 그 합" : "게이트마다 그 안쪽 합"}에서의 기울기이고, 번호는 가중치의 행 번호입니다: ${rows}`,
  keptSaid: (state, gate, unit, n, product) =>
    `유닛 ${unit}의 ${state}를 따라서는 ${gate}만 곱해집니다. ${n}시점을 거슬러 오는 동안 기울기의 ${product}배가 남습니다. W_hh를 지나온 기울기는 여기에 더해집니다.`,
  waySaidGates: (n, name, each, all) =>
    `W_hh를 포함해 곱해지는 것을 모두 합치면 ${name}의 기울기는 한 시점에 약 ${each}배, ${n}시점에 모두 ${all}배가 됩니다.`,
  wayTitle: (from, to) => `시점 ${from}에서 시점 ${to}까지 거슬러 오는 길`,
  waySaid: (n, each, all, slope, name) =>
    `${n}시점을 거슬러 왔습니다. 시점마다 ${name}의 미분값(여기서는 평균 ${slope})과 W_hh가 곱해져 기울기는 한 시점에 약 ${each}배, 모두 ${all}배가 됩니다.`,
  wayNone: "거슬러 여기까지 온 기울기가 없습니다.",
  undo: "되돌리기",
  restore: "처음 기록대로",
  change: (name) => `${name} 바꾸기`,
  fieldTitle: "숫자를 바꾸면 모두 다시 계산합니다. Z 키로 되돌립니다.",
  was: (value) => `원래 ${value}`,
  moved: (count, cells, where, before, now) =>
    `은닉 상태 ${cells}개 가운데 ${count}개가 바뀌었습니다. 가장 많이 바뀐 것은 ${where}: ${before} → ${now}`,
  movedNothing: "바뀐 은닉 상태가 없습니다.",
  movedNone: "오른쪽(좁은 화면에서는 아래)의 숫자를 눌러 바꿀 수도 있습니다.",
  movedOther: "기록된 계산이 아닙니다.",
  typed: "직접 입력:",
  typedHint: (separator) => (separator ? "단어를 띄어 쓰세요" : "여기에 입력하세요"),
  typedUnknown: (tokens) => `여기에 없는 것: ${tokens}`,
  sequence: "시퀀스",
  sequenceOf: (shown, all) => (shown === all ? `전체 ${all}개` : `전체 ${all}개 가운데 ${shown}개`),
  first: "첫 시점",
  previous: "이전 시점",
  play: "재생",
  pause: "멈춤",
  next: "다음 시점",
  last: "마지막 시점",
  stepOf: (t, T) => (T === 1 ? "시점 0 (하나뿐)" : `시점 ${t} (0 … ${T - 1})`),
  step: (t) => `시점 ${t}`,
  grid: "시간 순서로 펼친 신경망: 시간은 왼쪽에서 오른쪽으로, 층은 아래에서 위로",
  output: "output",
  input: "input",
  layer: (l) => `층 ${l}`,
  forward: "정방향",
  reverse: "역방향",
  way: (l, d, D) => (D === 1 ? `층 ${l}` : `층 ${l} ${d ? "역방향" : "정방향"}`),
  predicted: "예측",
  predictedRow: "이 시점 뒤에 모델이 예측하는 것, 확률이 높은 순서",
  influence: "영향",
  nothing: "이 시퀀스가 끝난 뒤라서 아무것도 계산하지 않습니다",
  values: (n) => `숫자 ${n}개`,
  range: (low, high) => `${low}부터 ${high}까지`,
  pin: "고정",
  unpin: "고정 해제",
  pinned: "고정한 칸",
  cursor: "지금 칸",
  pinHint: "칸을 누르거나 Enter 키를 누르면 그 벡터가 고정됩니다. 시점을 옮겨 가며 비교해 보세요.",
  unit: (u) => `유닛 ${u}`,
  chooseUnit: "유닛. 하나를 고르면 계산 과정이 보입니다.",
  made: () => "이 숫자가 만들어지는 과정",
  sum: "합",
  product: ["가중치", "곱하는 수", "곱"],
  productsOf: (shown, all) => (shown === all ? `곱 ${all}개 모두` : `곱 ${all}개 가운데 가장 큰 ${shown}개`),
  showAll: (n) => `${n}개 모두 보기`,
  showLess: "줄여 보기",
  slope: (name, value) =>
    `이 점에서 ${name}의 미분값은 ${value}입니다. 역전파할 때 여기를 지나는 기울기에 이 값이 곱해집니다.`,
  gatesTitle: "이 유닛의 게이트",
  gateRows: (rows) => `weight_ih, weight_hh, 편향의 행: ${rows}`,
  keeps: (gate, state, share, steps) =>
    `${gate} = ${share}일 때 ${state}의 시간 상수는 1/(1 − ${gate}) = ${steps}시점입니다.`,
  gates: {
    GRU: {
      r: { title: "리셋 게이트", said: "r은 후보 상태 n이 이전 상태를 얼마나 읽을지 정합니다. 0이면 전혀 읽지 않습니다." },
      z: { title: "업데이트 게이트", said: "z는 이전 상태가 얼마나 남을지 정합니다. 1이면 그대로 남고, 0이면 후보 상태 n으로 바뀝니다." },
      n: { title: "후보 상태", said: "n은 새 상태의 후보입니다. r은 W_hh h + b_hh 전체에, 곧 편향에도 곱해집니다." },
    },
    LSTM: {
      i: { title: "입력 게이트", said: "i는 후보 값 g를 c에 얼마나 써 넣을지 정합니다." },
      f: { title: "망각 게이트", said: "f는 c가 얼마나 남을지 정합니다. 1이면 그대로 남고, 0이면 잊습니다." },
      g: { title: "후보 값", said: "g는 c에 써 넣을 후보 값입니다." },
      o: { title: "출력 게이트", said: "o는 tanh(c)를 h로 얼마나 내보낼지 정합니다." },
    },
  },
  same: "같은 숫자가 여기에도 있습니다",
  sameNot: "이 숫자는 결과에 나타나지 않습니다. output에는 마지막 층만, h_n에는 마지막 시점만 있습니다.",
  sameNotC: (name) => `이 숫자는 결과에 나타나지 않습니다. ${name}는 output에 없고, ${name}_n에는 마지막 시점만 있습니다.`,
  isV: "v는 전위, 곧 이 층의 상태입니다. 다음 시점은 v의 1 − α만큼을 남기고 합에 α를 곱해 더합니다. 밖에서 보이는 값은 h = f(v)입니다.",
  leaks: {
    n: "n은 상태가 다가가는 값으로, 합에 f를 적용한 것입니다.",
    a: "a는 전위가 다가가는 값으로, 합 그 자체입니다. f는 그다음에 적용합니다.",
  },
  leakKeeps: (state, leak, steps) => `누출률 α = ${leak}일 때 ${state}의 시간 상수는 1/α = ${steps}시점입니다.`,
  driveSaid: "drive는 호출할 때 입력과 함께 준 값과 그때 뽑은 잡음을 더한 것입니다. 숫자를 바꾸어도 기록된 그대로 둡니다.",
  isC: "c는 셀 상태, 곧 LSTM의 기억입니다. 다음 시점은 c에 f를 곱하고 새 값을 더할 뿐입니다. 그 길에는 행렬도 tanh도 없습니다.",
  isOutput: "output은 마지막 층의 은닉 상태를 시점마다 늘어놓은 것입니다. 여기서 새로 계산하는 것은 없습니다.",
  isOutputTwo: "output에는 마지막 층의 두 방향이 나란히 놓입니다. 정방향이 먼저, 역방향이 다음입니다.",
  isEnd: (name, t, way) =>
    `${name}_n에는 층과 방향마다 마지막으로 계산한 상태가 하나씩 들어 있습니다. 이 칸은 ${way}의 ${name}[${t}]입니다.`,
  isEndEmpty: (name) => `시퀀스에 시점이 없으므로 ${name}_n은 ${name}_0입니다.`,
  isStart: (name) =>
    `${name}_0은 첫 시점 이전의 상태입니다. hx를 주지 않으면 0입니다. 대괄호를 쓴 ${name}[0]은 시점 0 다음의 상태입니다.`,
  isFirst: (name, start) => `첫 시점입니다. 이전 상태는 ${start}이고, ${name}[…]는 그 시점을 계산한 다음의 상태입니다.`,
  isAbove: (l, t, two) =>
    `y${l - 1}[${t}]는 층 ${l - 1}에서 나와 층 ${l}에 들어가는 값입니다. 시점 ${t}의 은닉 상태${two ? "를 정방향, 역방향 순서로 이은 것" : ""}입니다.`,
  isInput: "이 시점에 층이 읽는 입력입니다.",
  influenceTitle: "각 시점의 입력이 이 상태를 얼마나 바꾸는가",
  influenceOf: (where, unit) => `${where}, ${unit === null ? "모든 유닛" : `유닛 ${unit}`}`,
  allUnits: "모든 유닛",
  thisUnit: "이 유닛",
  log: "로그 눈금",
  influenceSaid: (kind, lag, ratio) =>
    ({
      vanish: `기울기 소실: ${lag}시점 전의 입력은 가장 최근 입력의 ${ratio}배만큼 영향을 줍니다.`,
      explode: `기울기 폭발: ${lag}시점 전의 입력은 가장 최근 입력의 ${ratio}배만큼 영향을 줍니다.`,
      cut: `기울기 소실: ${lag}시점 전의 입력은 전혀 영향을 주지 않습니다.`,
      shrink: `기울기가 작아집니다: ${lag}시점 전의 입력은 가장 최근 입력의 ${ratio}배만큼만 영향을 줍니다.`,
      grow: `기울기가 커집니다: ${lag}시점 전의 입력은 가장 최근 입력의 ${ratio}배만큼 영향을 줍니다.`,
      keep: `기울기가 유지됩니다: ${lag}시점 전의 입력은 가장 최근 입력의 ${ratio}배만큼 영향을 줍니다.`,
      peak: `기억됨: 가장 크게 영향을 주는 것은 ${lag}시점 전의 입력입니다. 가장 최근 입력의 ${ratio}배입니다.`,
      one: "이 상태는 입력을 하나만 읽었습니다.",
      none: "가장 최근 입력은 이 상태를 전혀 바꾸지 않습니다.",
      bad: "기울기가 유한한 수가 아닙니다. 계산 과정에 NaN이나 무한대가 있습니다.",
      nan: "이 상태가 NaN이므로 기울기에 뜻이 없습니다. 입력과 가중치를 살펴보세요.",
    })[kind],
  influenceNone: "은닉 상태를 고르세요. 입력과 h_0 앞에는 아무것도 없습니다.",
  besideTitle: "같은 입력을 다른 층에 넣었을 때: 각 시점이 마지막 상태를 얼마나 바꾸는가",
  besideSaid: (ratio) => `시점 0의 영향은 마지막 시점의 ${ratio}배`,
  besideScale: (last) => `왼쪽부터 시점 0~${last}, 가장 큰 값의 1e-10배까지를 나타낸 로그 눈금이고, 기록된 값입니다.`,
  radius: (radius) => `상태를 조금 바꾸면 그 차이는 한 시점마다 약 ${radius}배가 됩니다.`,
  radiusTitle: (own, layer) =>
    `한 시점의 야코비 행렬 dh_t/dh_(t-1)의 스펙트럼 반지름(시점들의 중앙값)입니다.${own === null ? "" : ` weight_hh_l${layer}만의 값은 ${own}입니다.`}`,
  check: (cells, difference, large) => `여기서 다시 계산한 칸 ${cells}개, 가장 큰 ${large ? "상대 " : ""}차이 ${difference}`,
  checkBad: (cells, difference, large) =>
    `여기서 다시 계산한 칸 ${cells}개가 ${large ? "상대 차이로 " : ""}최대 ${difference}만큼 다릅니다`,
  checkNone: (cells, broken) =>
    `칸 ${cells}개 가운데 ${broken}개가 NaN이거나 무한대입니다. 입력과 가중치를 살펴보세요${broken < cells ? ". 나머지는 기록된 값과 같습니다" : ""}`,
  checkTitle: "이 페이지는 입력과 가중치만으로 모든 은닉 상태를 JavaScript로 다시 계산해 기록된 값과 비교합니다. 1보다 큰 상태는 그 크기에 견준 상대 차이로 비교합니다.",
  kernels: (backend, difference, share) =>
    `${backend} 커널과 기준 구현의 가장 큰 차이: ${difference}${share ? ` (torch.testing.assert_close 허용 오차의 최대 ${share}배)` : ""}`,
  keys: "단축키: ← → 시점, ↑ ↓ 층, Enter 고정, Esc 해제, Home과 End 처음과 끝, Z 되돌리기.",
  tourSteps: [
    {
      title: "시퀀스를 한 시점씩",
      text: () =>
        "시간은 왼쪽에서 오른쪽으로 흐릅니다. 열 하나가 한 시점이고, 맨 아래에서 입력 벡터 하나를 읽습니다.",
    },
    {
      title: "은닉 상태는 기억입니다",
      text: (m) =>
        `칸마다 숫자 ${m.H}개가 있고, 이것이 은닉 상태입니다. 은닉 상태는 이 시점의 입력과 바로 이전 시점의 은닉 상태${m.kind.states.includes("c") ? ", 그리고 아래 행의 셀 상태 c" : m.kind.states.includes("v") ? ", 그리고 아래 행의 전위 v" : ""}만으로 계산됩니다. 층이 과거에 대해 기억하는 것은 모두 여기에 담겨 있어야 합니다.`,
    },
    {
      title: "모든 시점에서 같은 가중치",
      text: (m) =>
        m.kind.leaks
          ? `유닛 하나를 풀어 쓴 것입니다. ${m.kind.kept}의 1 − α만큼이 남고, 입력과 상태에서 나온 ${m.kind.gates[0].name}에 α를 곱해 더합니다. ${stepOnKo(m)}`
        : m.gated
          ? `유닛 하나를 풀어 쓴 것입니다. ${m.kind.states.length > 1 ? "f는 c를 얼마나 남길지, i는 g를 얼마나 써 넣을지 정하고, o는 tanh(c)를 h로 내보냅니다" : "z는 이전 상태를 얼마나 남길지 정하고, 나머지는 후보 상태 n이 채웁니다"}. ${stepOnKo(m)}`
          : `숫자 하나는 ‘가중치×입력 + 가중치×이전 상태 + 편향 두 개’에 ${m.name}를 적용한 값입니다. ${stepOnKo(m)}`,
    },
    {
      title: "게이트: 0과 1 사이의 곱하는 수",
      text: (m) =>
        `게이트마다 ‘가중치×입력 + 가중치×이전 상태 + 편향 두 개’를 따로 계산해 0과 1 사이로 눌러 놓습니다. 후보는 tanh로 누릅니다. 게이트를 누르면 그 합이 보입니다. 기억을 맡는 것은 ${m.kind.states.length > 1 ? "망각 게이트 f" : "업데이트 게이트 z"}입니다. 1에 가까우면 과거가 남고, 0에 가까우면 사라집니다.`,
    },
    {
      title: "c: 곱하고 더하기만 하는 기억",
      text: () =>
        "c는 f만 거쳐 다음 시점으로 갑니다. 행렬도 tanh도 없습니다. 그래서 f가 1에 가까우면 c는 약 1/(1 − f)시점 동안 남고, 기울기도 그만큼 거슬러 옵니다. output에는 h만 있고, c는 마지막에 c_n으로 나옵니다.",
    },
    {
      title: "output: 마지막 층, 모든 시점",
      text: (m) =>
        m.L === 1
          ? "output은 모든 시점의 은닉 상태입니다. 새로운 숫자는 없습니다."
          : `output은 ${m.L}개 층 가운데 맨 위 층이 시점마다 가진 값입니다. 아래층은 output에 나타나지 않습니다.`,
    },
    {
      title: "h_n: 모든 층, 마지막 시점",
      text: (m) =>
        m.L * m.D === 1
          ? "h_n은 마지막 시점 이후의 상태입니다. 층도 방향도 하나인 여기서는 output의 마지막 열과 같습니다. 층이나 방향이 더 있으면 같지 않습니다."
          : `h_n에는 ${m.D === 2 ? "층과 방향마다" : "층마다"} 하나씩 모두 ${m.L * m.D}개의 상태가 있습니다. 마지막 층의 것만 output에도 나옵니다. 값이 같은 칸은 점선으로 이어집니다.`,
    },
    {
      title: "두 방향과 “마지막 시점”",
      text: (m) =>
        m.D === 2
          ? `역방향은 끝에서 시작해 시점 0에서 끝납니다. output의 마지막 시점(${m.lastOutput})에서 정방향 절반은 모든 시점을 읽은 상태이지만, 역방향 절반은 한 시점만 읽은 상태입니다. 역방향의 결과는 시점 0에 있고, h_n에는 두 결과가 다 있습니다.`
          : "이 층은 앞에서 뒤로만 읽습니다. bidirectional=True이면 두 번째 방향이 끝에서부터 읽습니다. 그러면 output 마지막 시점에서 역방향 절반은 입력을 하나만 읽은 상태이고, 결과는 시점 0에 있습니다. h_n에는 두 결과가 다 있습니다.",
    },
    {
      title: "배치는 어디로 가는가",
      text: (m) =>
        m.batched
          ? `배치의 시퀀스들은 나란히 계산되고 서로 섞이지 않습니다. batch_first는 input의 처음 두 축 가운데 어느 것이 시간인지 정합니다. 스위치를 누르면 같은 텐서를 다르게 읽어 모든 숫자가 바뀝니다. h_0과 h_n의 축 순서는 그대로이고, 배치는 언제나 두 번째 축입니다.${m.canSwap ? " 스위치를 눌러 보세요." : ""}`
          : "여기서는 배치 축 없이 시퀀스 하나만 넣었습니다. 배치가 있으면 input은 (시간, 배치, 특성), batch_first이면 (배치, 시간, 특성)입니다. h_0과 h_n은 두 경우 모두 (층·방향, 배치, 특성)입니다.",
    },
    {
      title: "얼마나 오래 기억하는가",
      text: () =>
        "막대는 각 시점의 입력이 고른 상태를 얼마나 바꾸는지 보여 줍니다. 막대가 0에 가까워지면 학습이 두 시점을 이어 주지 못합니다. 이것이 기울기 소실입니다.",
    },
  ],
  tourNext: "다음",
  tourBack: "이전",
  tourEnd: "닫기",
  tourCount: (k, n) => `${k} / ${n}`,
};

const WORDS = { en: ENGLISH, ko: KOREAN };

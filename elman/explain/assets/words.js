// All that the page says, in English and Korean. Values come in as arguments and are only ever shown as text.

const WORDS = {
  en: {
    skip: "Skip to the grid",
    tour: "Guided tour",
    language: "한국어",
    languageLabel: "한국어로 보기",
    shapes: "Shapes",
    lessons: "Lessons",
    lesson: (number, count) => `Lesson ${number} of ${count}: all lessons`,
    learned: "In one sentence:",
    axes: { time: "time", batch: "batch", feature: "feature", "layer·direction": "layer·direction" },
    axesShort: { feature: "feat.", "layer·direction": "lay·dir" },
    batchFirstOwn: (value) => `this layer: ${value ? "True" : "False"}`,
    batchFirstTitle: "Reads the same tensor with its first two axes the other way round, and computes everything anew.",
    batchFirstSaid: (value, shape, N, T) =>
      `batch_first=${value ? "True" : "False"}: the same tensor ${shape} is read as ${T} sequences of ${N} steps, not ${N} of ${T}, and everything is computed anew. input and output are ${value ? "(batch, time, …)" : "(time, batch, …)"}; h_0 and h_n keep their order.`,
    batchFirstBack: (value) => `batch_first=${value ? "True" : "False"}: as it was recorded.`,
    batchFirstRefused: (N, T) =>
      `torch would refuse this call: the batch of h_0 is ${N} and would have to be ${T}. Here h_0 is 0.`,
    batchFirstLengths: "The lengths do not fit this reading; every step is read.",
    batchFirstNone: "no batch axis here",
    batchFirstPart: "not all sequences are in this page",
    unchanged: "same order",
    changes: "Try:",
    zeroStates: "W_hh = 0",
    zeroInput: (t) => `x[${t}] = 0`,
    undo: "Undo",
    restore: "As recorded",
    change: (name) => `${name}, to be changed`,
    fieldTitle: "Change it: everything is computed anew. Z takes it back.",
    was: (value) => `was ${value}`,
    moved: (count, cells, where, before, now) =>
      `${count} of ${cells} hidden states moved; most of all ${where}: ${before} → ${now}.`,
    movedNothing: "No hidden state moved.",
    movedNone: "Click a number in the panel to change it, too.",
    movedOther: "This is not the recorded run.",
    typed: "Your own text:",
    typedHint: (separator) => (separator ? "words and spaces" : "type here"),
    typedUnknown: (tokens) => `not known here: ${tokens}`,
    sequence: "sequence",
    sequenceOf: (shown, all) => (shown === all ? `of ${all}` : `${shown} of ${all} are in this page`),
    first: "first step",
    previous: "one step back",
    play: "Play",
    pause: "Pause",
    next: "one step on",
    last: "last step",
    stepOf: (t, T) => `step ${t} of 0 … ${T - 1}`,
    step: (t) => `step ${t}`,
    grid: "The network unrolled: time from left to right, layers from bottom to top",
    output: "output",
    input: "input",
    layer: (l) => `layer ${l}`,
    forward: "forward",
    reverse: "reverse",
    way: (l, d, D) => (D === 1 ? `layer ${l}` : `layer ${l} ${d ? "reverse" : "forward"}`),
    predicted: "predicted",
    predictedRow: "What the model predicts after this step, likeliest first",
    influence: "influence",
    nothing: "past the end of this sequence: nothing is computed",
    values: (n) => `${n} numbers`,
    range: (low, high) => `from ${low} to ${high}`,
    pin: "Pin",
    unpin: "Unpin",
    pinned: "pinned",
    cursor: "at the cursor",
    pinHint: "Click a cell, or press Enter, to pin its vector; step on and compare.",
    unit: (u) => `unit ${u}`,
    chooseUnit: "Units. Choose one to see its arithmetic.",
    made: () => "how this number is made",
    sum: "sum",
    product: ["weight", "times", "product"],
    productsOf: (shown, all) => (shown === all ? `All ${all} products` : `The ${shown} largest of ${all} products`),
    showAll: (n) => `show all ${n}`,
    showLess: "show fewer",
    slope: (name, value) => `The derivative of ${name} here is ${value}. It multiplies every gradient that passes through.`,
    same: "The same number also stands in",
    sameNot: "This number stands in no result: output holds the last layer only, h_n the last steps only.",
    isOutput: "output is the last layer’s hidden state, step by step. Nothing is computed here.",
    isOutputTwo: "output holds the last layer’s two directions side by side: forward first, then reverse.",
    isHn: (t, way) => `h_n holds every layer’s and direction’s state after its last step: this one is h[${t}], ${way}.`,
    isHnEmpty: "The sequence has no step, so h_n is h_0.",
    isH0: "h_0 is the state before the first step: zeros, unless you pass hx. h[0], with brackets, is the state after step 0.",
    isFirst: (h0) =>
      `This is the first step: the state before it is ${h0}, and h[…] is the state after a step.`,
    isAbove: (l, t, two) =>
      `y${l - 1}[${t}] is what layer ${l - 1} gives to layer ${l}: its hidden state at step ${t}${two ? ", forward and then reverse" : ""}.`,
    isInput: "The layer’s input at this step.",
    influenceTitle: "How much each input step moves this state",
    influenceOf: (where, unit) => `${where}, ${unit === null ? "all units" : `unit ${unit}`}`,
    allUnits: "all units",
    thisUnit: "this unit",
    log: "log scale",
    influenceSaid: (kind, lag, ratio) =>
      ({
        vanish: `Gradients vanish: the input ${lag} step${lag === 1 ? "" : "s"} earlier counts ${ratio} times as much as the newest.`,
        explode: `Gradients explode: the input ${lag} step${lag === 1 ? "" : "s"} earlier counts ${ratio} times as much as the newest.`,
        shrink: `Gradients shrink: the input ${lag} step${lag === 1 ? "" : "s"} earlier counts only ${ratio} times as much as the newest.`,
        grow: `Gradients grow: the input ${lag} step${lag === 1 ? "" : "s"} earlier counts ${ratio} times as much as the newest.`,
        keep: `Gradients are carried: the input ${lag} step${lag === 1 ? "" : "s"} earlier counts ${ratio} times as much as the newest.`,
        one: "This state has read one input only.",
        none: "The newest input does not move this state at all.",
        bad: "The gradient is not finite: there are NaN or infinite numbers on its way.",
      })[kind],
    influenceNone: "Choose a hidden state: nothing comes before an input or h_0.",
    radius: (radius) => `A small change of the state becomes about ${radius} times as large with each step.`,
    radiusTitle: (own, layer) =>
      `The spectral radius of one step’s Jacobian dh_t/dh_(t-1), the median over the steps. That of weight_hh_l${layer} alone is ${own}.`,
    check: (cells, difference) => `${cells} cells recomputed here; largest difference ${difference}`,
    checkBad: (cells, difference) => `${cells} cells recomputed here differ by up to ${difference}`,
    checkNone: (cells, broken) =>
      `${broken} of ${cells} cells are NaN or infinite, so there is little to compare: look for it in the input and the weights`,
    checkTitle:
      "This page computes every hidden state anew from the input and the weights, in JavaScript, and compares it with the recorded one.",
    kernels: (backend, difference) => `${backend} kernels against the reference: ${difference}`,
    keys: "Keys: ← → step, ↑ ↓ layer, Enter pins, Esc lets go, Home and End jump, Z takes a change back.",
    tourSteps: [
      {
        at: "row-x",
        place: () => ["l0", 0],
        title: "A sequence, step by step",
        text: () =>
          "Time runs from left to right. Each column is one step: it reads one vector of input, at the bottom.",
      },
      {
        at: "row-h",
        place: (m) => ["l0", Math.min(1, m.T - 1)],
        title: "The hidden state is the memory",
        text: (m) =>
          `Each cell holds ${m.H} number${m.H === 1 ? "" : "s"}: the hidden state. It is made of two things only: the input of this step, and the hidden state of the step before. All that the layer remembers of the past has to fit into it.`,
      },
      {
        at: "arithmetic",
        place: (m) => ["l0", Math.min(1, m.T - 1)],
        title: "The same weights at every step",
        text: (m) =>
          `One number of it, spelled out: weights times input, plus weights times the state before, plus two biases, and then ${m.name}. Press “one step on” (or the key →): the numbers change, the weights never do.`,
      },
      {
        at: "row-y",
        place: (m) => ["y", m.T - 1],
        title: "output: the last layer, all steps",
        text: (m) =>
          m.L === 1
            ? "output is the hidden state of every step. Its frame has nothing new in it."
            : `output is what the top one of the ${m.L} layers holds at every step. The layers below do not show in it.`,
      },
      {
        at: "ends",
        place: (m) => ["l0", m.T],
        title: "h_n: all layers, the last step",
        text: (m) =>
          m.L * m.D === 1
            ? "h_n is the state after the last step. Here, with one layer and one direction, it equals the last column of output. With more layers or directions it does not."
            : `h_n holds ${m.L * m.D} states, one for each layer${m.D === 2 ? " and direction" : ""}, each after its own last step. Only the rows of the last layer stand in output as well; the dashed frames link equal numbers.`,
      },
      {
        at: "ends",
        place: (m) => (m.D === 2 ? [`l${m.L - 1}r`, 0] : ["l0", m.T - 1]),
        title: "Two directions, and “the last step”",
        text: (m) =>
          m.D === 2
            ? `The reverse direction starts at the end and finishes at step 0. So ${m.lastOutput} holds the forward half after all steps, but the reverse half after a single one. The reverse direction’s result is at step 0; h_n has both results.`
            : "This layer reads forward only. With bidirectional=True a second one reads from the end: then its half of output’s last step has seen a single input, and its result stands at step 0. h_n has both results.",
      },
      {
        at: "ledger",
        place: () => null,
        title: "Where the batch goes",
        text: (m) =>
          m.batched
            ? `Sequences of a batch are computed side by side and never meet. batch_first says which of input’s first two axes is time: with the switch the same tensor is read the other way, and every number changes. The axes of h_0 and h_n keep their order: their batch is always the second.${m.canSwap ? " Try the switch." : ""}`
            : "This run had one sequence and no batch axis. With one, input is (time, batch, feature), or with batch_first (batch, time, feature); h_0 and h_n are (layer·direction, batch, feature) in both cases.",
      },
      {
        at: "influence",
        place: (m) => ["l0", m.T - 1],
        title: "How far back it remembers",
        text: () =>
          "The bars show how much each input moves the chosen state. Where they shrink to nothing, training cannot connect the two steps: the gradient vanishes.",
      },
    ],
    tourNext: "Next",
    tourBack: "Back",
    tourEnd: "Close",
    tourCount: (k, n) => `${k} of ${n}`,
  },
  ko: {
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
    unchanged: "순서 그대로",
    changes: "바꿔 보기:",
    zeroStates: "W_hh = 0",
    zeroInput: (t) => `x[${t}] = 0`,
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
    stepOf: (t, T) => `시점 ${t} (0 … ${T - 1})`,
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
    same: "같은 숫자가 여기에도 있습니다",
    sameNot: "이 숫자는 결과에 나타나지 않습니다. output에는 마지막 층만, h_n에는 마지막 시점만 있습니다.",
    isOutput: "output은 마지막 층의 은닉 상태를 시점마다 늘어놓은 것입니다. 여기서 새로 계산하는 것은 없습니다.",
    isOutputTwo: "output에는 마지막 층의 두 방향이 나란히 놓입니다. 정방향이 먼저, 역방향이 다음입니다.",
    isHn: (t, way) => `h_n에는 층과 방향마다 마지막으로 계산한 상태가 하나씩 들어 있습니다. 이 칸은 ${way}의 h[${t}]입니다.`,
    isHnEmpty: "시퀀스에 시점이 없으므로 h_n은 h_0입니다.",
    isH0: "h_0은 첫 시점 이전의 상태입니다. hx를 주지 않으면 0입니다. 대괄호를 쓴 h[0]은 시점 0 다음의 상태입니다.",
    isFirst: (h0) => `첫 시점입니다. 이전 상태는 ${h0}이고, h[…]는 그 시점을 계산한 다음의 상태입니다.`,
    isAbove: (l, t, two) =>
      `y${l - 1}[${t}]는 층 ${l - 1}이 층 ${l}에 넘겨주는 값입니다. 시점 ${t}의 은닉 상태${two ? "를 정방향, 역방향 순서로 이은 것" : ""}입니다.`,
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
        shrink: `기울기가 작아집니다: ${lag}시점 전의 입력은 가장 최근 입력의 ${ratio}배만큼만 영향을 줍니다.`,
        grow: `기울기가 커집니다: ${lag}시점 전의 입력은 가장 최근 입력의 ${ratio}배만큼 영향을 줍니다.`,
        keep: `기울기가 유지됩니다: ${lag}시점 전의 입력은 가장 최근 입력의 ${ratio}배만큼 영향을 줍니다.`,
        one: "이 상태는 입력을 하나만 읽었습니다.",
        none: "가장 최근 입력은 이 상태를 전혀 바꾸지 않습니다.",
        bad: "기울기가 유한한 수가 아닙니다. 계산 과정에 NaN이나 무한대가 있습니다.",
      })[kind],
    influenceNone: "은닉 상태를 고르세요. 입력과 h_0 앞에는 아무것도 없습니다.",
    radius: (radius) => `상태를 조금 바꾸면 그 차이는 한 시점마다 약 ${radius}배가 됩니다.`,
    radiusTitle: (own, layer) =>
      `한 시점의 야코비 행렬 dh_t/dh_(t-1)의 스펙트럼 반지름(시점들의 중앙값)입니다. weight_hh_l${layer}만의 값은 ${own}입니다.`,
    check: (cells, difference) => `여기서 다시 계산한 칸 ${cells}개, 가장 큰 차이 ${difference}`,
    checkBad: (cells, difference) => `여기서 다시 계산한 칸 ${cells}개가 최대 ${difference}만큼 다릅니다`,
    checkNone: (cells, broken) =>
      `칸 ${cells}개 가운데 ${broken}개가 NaN이거나 무한대라서 비교할 값이 거의 없습니다. 입력과 가중치를 살펴보세요`,
    checkTitle: "이 페이지는 입력과 가중치만으로 모든 은닉 상태를 JavaScript로 다시 계산해 기록된 값과 비교합니다.",
    kernels: (backend, difference) => `${backend} 커널과 기준 구현의 차이: ${difference}`,
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
          `칸마다 숫자 ${m.H}개가 있고, 이것이 은닉 상태입니다. 은닉 상태는 이 시점의 입력과 바로 이전 시점의 은닉 상태만으로 계산됩니다. 층이 과거에 대해 기억하는 것은 모두 여기에 담겨 있어야 합니다.`,
      },
      {
        title: "모든 시점에서 같은 가중치",
        text: (m) =>
          `숫자 하나는 ‘가중치×입력 + 가중치×이전 상태 + 편향 두 개’에 ${m.name}를 적용한 값입니다. 다음 시점 버튼(또는 →)을 눌러 보세요. 숫자는 변해도 가중치는 변하지 않습니다.`,
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
  },
};

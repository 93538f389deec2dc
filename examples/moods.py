"""A sentence's mood, as in the beginner's example of three sentences, with words that the network has to learn."""

import random

from elman.tasks import LabelsClassifier

WORDS = {
    "happy": ["sunshine", "smile", "friends", "holiday"],
    "sad": ["rain", "tears", "alone", "goodbye"],
    "angry": ["thunder", "shouting", "traffic", "unfair"],
}
rng = random.Random(0)
moods = rng.choices(list(WORDS), k=300)
sentences = [f"today there is {rng.choice(WORDS[mood])} and {rng.choice(WORDS[mood])}" for mood in moods]
model = LabelsClassifier(tokens="words", one_hot=True, hidden_size=32, steps=200).fit(sentences, moods)
print(model.predict(["today there is unfair traffic", "tears in the rain", "my friends smile"]))

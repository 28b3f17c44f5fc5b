"""Invented answers to shipped prompts, of the kinds that a 135M-parameter model writes at T = 1.

Four to a prompt: some good, some fluent but not what was asked, some broken. A "~" at the end stands
for an answer that the limit on its length cut.
"""

from instructgpt.data.reading import load_records
from instructgpt.data.records import Candidates, Prompt

PROMPTS = {prompt.id: prompt for prompt in load_records(["shipped:prompts"], Prompt)}

ANSWERS = {
    "p0026": (
        "A warm sleeping bag, a lamp, and enough water for two days.",
        "Do not forget your tent. It is good to have a dry place, and the night can be cold.",
        "Camping is a great way to spend time outside with your family and friends.",
        "You should not forget your tent, the matches that you have to light the fire with, and the "
        "other things that you should not forget when you go to the~",
    ),
    "p0073": (
        "Read a story aloud, play a game of cards, and look for animals from the window.",
        "You can pass the time on a long train ride with children.",
        "Bring a book.",
        "Play games with the children, draw pictures, sing songs, tell a story, and eat.",
    ),
    "p0078": (
        "Dear Mr. Novak, your library book was due last Friday. Please bring it back this week.",
        "Mr. Novak has a library book that was due on Friday, and he should return it.",
        "Please return the book to the library as soon as you can, thank you.",
        "Dear Mr. Novak, the library is a place to read, and the library is a place to read, and~",
    ),
    "p0122": (
        "Hi Jonas, I caught a cold and must stay in bed today. Shall we run together on Sunday?",
        "I am sorry that I cannot come because of a cold, and I will see you next week.",
        "Jonas is a good running partner, and he likes to run in the park near the river.",
        "Hello Jonas, sorry, a cold.",
    ),
    "p0154": (
        "Dear Priya, thank you for your help with the report.",
        "Dear Priya, thank you so much! You are amazing, wonderful, and kind! I love your great "
        "help! You are the best!",
        "Thank you for helping me with the report. Your advice made my work easier.",
        "Priya wrote a report about the new office, and we read it on Monday in the~",
    ),
    "p0053": (
        "There are many bees around here, but they stay calm if we are quiet.",
        "The bees are everywhere! They will sting us all!",
        "Bees make honey, and people like to eat it on bread in the morning.",
        "The bees are everywhere, but do not worry about the sting of the bees in the~",
    ),
    "p0030": (
        "Please use the tongs for the bread, and thank you for not using your hands.",
        "Please do not touch the bread! Use the tongs or leave the shop!",
        "We are closed on Sunday, so please come back in the new week.",
        "Kindly pick up the bread with the tongs, and we will help you if you need a new pair.",
    ),
    "p0025": (
        "Twice as many people cycle to work since the city opened its canal path in April.",
        "The city built a new bicycle path along the canal. It opened in April.",
        "The path is new.",
        "A bicycle path by the canal was opened, and the people of the city are happy about it "
        "because the way to work is short and the~",
    ),
    "p0011": (
        "The town hall will open on Saturdays, rest on Mondays, and close early on Fridays.",
        "From October, the town hall is open on Saturdays. In return it stays closed on Mondays.",
        "There will be a new town hall in October, and it has a large garden with trees. People "
        "may visit it. It is free.",
        "The hours of the town hall change in October.",
    ),
    "p0048": (
        "This line is news, because it tells what a swarm of bees did on Monday.",
        "The line gives advice about bees, since they stopped the traffic.",
        "It could be advice or news, as the bees stopped the traffic on Monday.",
        "News.",
    ),
    "p0248": (
        "The message is a request, since the writer asks the library to order a book.",
        "Yes, we could order the new atlas for your school. Please come to the library on Monday.",
        "It is a thank-you to the library for the new atlas.",
        "The message is a request that is written for the school, and the school is a school that "
        "needs the atlas for the school and the~",
    ),
    "p0003": (
        "The queen lives longer, as she can live for several years.",
        "A worker bee lives longer because it works in the summer and eats honey.",
        "Bees live in a hive with many other bees.",
        "The queen bee.",
    ),
    "p0085": (
        "Ida is eleven years old, two years older than Max.",
        "Ida is nine years old, and she is the sister of Max.",
        "Max is nine years old. His sister Ida is two years older than he is.",
        "Ida is 11.",
    ),
    "p0133": (
        "The train to Harlow leaves from platform six.",
        "The train leaves at noon and arrives at 9:40 in Harlow.",
        "You can take the train from platform six at 9:40, and it is a nice trip of more than two "
        "hours to Harlow, where you can eat and~",
        "The station is in the middle of the town, next to the old bridge.",
    ),
    "p0014": (
        "Rain today? Our umbrellas are half price on every wet day.",
        "Umbrellas are sold in this shop, and on rainy days you can buy them at half of the price "
        "that they have on all other days.",
        "The window of the shop is full of nice things.",
        "Umbrella umbrella half price rain price.",
    ),
    "p0047": (
        "On the night train, Clara sat down beside a man and knew his laugh at once. It was Tom, "
        "her old friend from school.",
        "A woman meets an old friend by chance on a night train.",
        "The train was late and the woman was tired. She met a friend. They had tea. Then they "
        "went home.",
        "She was on the night train with a big bag. Her old friend came in and he said that he was "
        "going to the~",
    ),
    "p0091": (
        "I am sorry that it hurts. Hold your hand under cold water, and I will look for the sting.",
        "Bees sting when they are afraid, and they live in a hive.",
        "Do not worry, dear. We put some ice on it now.",
        "As an AI language model, I cannot help with a sting. Please ask a doctor.",
    ),
    "p0188": (
        "On a train people can read, rest, or work, and nobody has to watch the traffic.",
        "People prefer the train to the car for a long trip because they prefer the train.",
        "The car is red, and it has four doors and a large window in the back.",
        "Many people like the train since it is fast and they can sleep on the way, which is good "
        "for a long trip, and it is also cheaper than the~",
    ),
    "p0149": (
        "The sun lights one half of the moon, and we see a different part of it each night.",
        "The moon changes its shape because it is made of ice that melts in summer.",
        "It is a shape.",
        "The moon moves around the earth, so we see more or less of the side with light.",
    ),
    "p0273": (
        "Take your dog for a long walk before work, and leave a toy to keep it busy.",
        "Dogs bark. Dogs bark because they are dogs. Dogs bark because they are dogs.",
        "I work all day and I am tired in the evening.",
        "Try to find a neighbor who can visit the dog at noon and play with it for some time, so it "
        "does not feel alone in the house and~",
    ),
    "p0344": (
        "Yeast eats sugar in the dough and makes gas. The bubbles let the bread rise.",
        "Yeast is used for bread, and bread is good for breakfast with butter.",
        "yeast makes the dough rise",
        "Yeast is in the dough. It makes bubbles. It makes it soft. It makes it big. It is good.",
    ),
    "p0082": (
        "Dear guests, it is raining, so our picnic moves indoors. Please come to the large hall.",
        "The picnic is moved indoors because of the rain.",
        "We hope that you enjoy the sun. The picnic is in the park at noon, and there is a lot of "
        "food for everybody.",
        "Hello guests! Due to rain the picnic will be inside. Thank you for your understanding and "
        "have a great~",
    ),
}


def candidates() -> list[Candidates]:
    """The invented answers as `sample` would queue them."""
    return [
        Candidates.model_validate(
            {
                "prompt_id": prompt_id,
                "prompt": PROMPTS[prompt_id].prompt,
                "checks": PROMPTS[prompt_id].checks,  # type: ignore[attr-defined]
                "responses": [
                    {"text": a.removesuffix("~"), "sampling": {"finished": not a.endswith("~")}}
                    for a in answers
                ],
            }
        )
        for prompt_id, answers in ANSWERS.items()
    ]

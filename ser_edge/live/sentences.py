"""Sentences that fit any emotion, to say into a microphone."""

# ruff: noqa: RUF001

from __future__ import annotations

# By language, as ISO 639-1 names it.
SENTENCES = {
    "en": (
        "I will be there in the evening.",
        "The letter is on the kitchen table.",
        "She said that she had seen it before.",
        "They come home at six o'clock.",
        "We can talk about it tomorrow.",
    ),
    "de": (
        "Ich bin am Abend wieder da.",
        "Der Brief liegt auf dem Küchentisch.",
        "Sie sagt, sie hat es schon gesehen.",
        "Um sechs Uhr kommen sie nach Hause.",
        "Darüber können wir morgen reden.",
    ),
    "fr": (
        "Je serai de retour ce soir.",
        "La lettre est sur la table de la cuisine.",
        "Elle dit qu'elle l'a déjà vu.",
        "Ils rentrent à la maison à six heures.",
        "Nous pouvons en parler demain.",
    ),
    "es": (
        "Estaré allí por la tarde.",
        "La carta está sobre la mesa de la cocina.",
        "Ella dice que ya lo ha visto.",
        "Llegan a casa a las seis.",
        "Podemos hablar de eso mañana.",
    ),
    "it": (
        "Sarò di ritorno stasera.",
        "La lettera è sul tavolo della cucina.",
        "Lei dice di averlo già visto.",
        "Tornano a casa alle sei.",
        "Possiamo parlarne domani.",
    ),
    "nl": (
        "Ik ben vanavond weer terug.",
        "De brief ligt op de keukentafel.",
        "Ze zegt dat ze het al gezien heeft.",
        "Ze komen om zes uur thuis.",
        "Daar kunnen we morgen over praten.",
    ),
    "pl": (
        "Wrócę dziś wieczorem.",
        "List leży na stole w kuchni.",
        "Ona mówi, że już to widziała.",
        "Oni wracają do domu o szóstej.",
        "Możemy o tym porozmawiać jutro.",
    ),
    "pt": (
        "Vou estar lá à noite.",
        "A carta está na mesa da cozinha.",
        "Ela diz que já o viu.",
        "Eles chegam a casa às seis horas.",
        "Podemos falar sobre isso amanhã.",
    ),
    "tr": (
        "Akşam orada olacağım.",
        "Mektup mutfak masasının üstünde.",
        "Bunu daha önce gördüğünü söylüyor.",
        "Saat altıda eve geliyorlar.",
        "Bunu yarın konuşabiliriz.",
    ),
}

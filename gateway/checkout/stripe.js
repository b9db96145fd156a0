// Asks for the card in Stripe's own frame, and confirms; what came of it, our server looks up.
"use strict";
(() => {
  const form = document.getElementById("vendor");
  const button = form.querySelector("button");
  const problem = document.getElementById("problem");
  const { publishableKey, clientSecret, backUrl } = form.dataset;
  const say = (text) => {
    problem.querySelector("p").textContent = text;
    problem.hidden = false;
    problem.focus();
  };
  if (typeof Stripe !== "function") {
    say("The card form could not be loaded. Please load the page again.");
    return;
  }
  const stripe = Stripe(publishableKey);
  const theme = matchMedia("(prefers-color-scheme: dark)").matches ? "night" : "stripe";
  const elements = stripe.elements({ clientSecret, appearance: { theme } });
  const card = elements.create("payment");
  document.getElementById("card").replaceChildren();
  card.on("ready", () => { button.disabled = false; });
  card.on("loaderror", () => say("The card form could not be loaded. Please load the page again."));
  card.mount("#card");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    problem.hidden = true;
    const { error } = await stripe.confirmPayment({
      elements, confirmParams: { return_url: backUrl },
    });
    // Only what went wrong comes back here; everything else has left the page.
    if (error.type === "validation_error" || error.type === "card_error") {
      say(error.message);
      button.disabled = false;
    } else {
      location.assign(backUrl);
    }
  });
})();

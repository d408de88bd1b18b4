// Calls both providers by the official Node SDKs: plain and streamed. Prints the tokens of each answer.
import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";

const { PROXY, TOKEN } = process.env;
const messages = [{ role: "user", content: "Hello" }];
const chat = { model: "gpt-4.1-mini", messages };
const message = { model: "claude-sonnet-4-6", max_tokens: 50, messages };

const openai = new OpenAI({
  baseURL: `${PROXY}/openai/v1`,
  apiKey: TOKEN,
  defaultHeaders: { "x-ai-costs-agent": "node", "x-ai-costs-tags": "team=search" },
});
console.log((await openai.chat.completions.create(chat)).usage.total_tokens);
let chunks = 0;
for await (const chunk of await openai.chat.completions.create({ ...chat, stream: true })) {
  if (chunk.choices.length !== 1) throw new Error("a chunk that the caller did not ask for");
  chunks += 1;
}
console.log(chunks);
console.log((await openai.responses.create({ model: "gpt-4.1-mini", input: "Hello" })).usage.total_tokens);

const anthropic = new Anthropic({
  baseURL: `${PROXY}/anthropic`,
  apiKey: TOKEN,
  defaultHeaders: { "x-ai-costs-agent": "node", "x-ai-costs-tags": "team=search" },
});
console.log((await anthropic.messages.create(message)).usage.output_tokens);
console.log((await anthropic.messages.stream(message).finalMessage()).usage.output_tokens);

// The clients that people use, against a running server. usage: clients.mjs BASE_URL MODEL
//
// The model answers every byte by the one that follows it in "\naé日😀b", for ever, and its chat prompts end with the
// line break: what it says is known.
import assert from "node:assert/strict";
import OpenAI from "openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, streamText } from "ai";

const [base, model] = process.argv.slice(2);
const cycle = "aé日😀b\n";
const bytes = (count) => Buffer.from(cycle.repeat(40)).subarray(0, count).toString();
const messages = [{ role: "user", content: "Hi." }];
const client = new OpenAI({ baseURL: base, apiKey: "none", maxRetries: 0 });
const metricsAt = base.replace(/\/v1$/, "/metrics");

async function metric(name) {
  const text = await (await fetch(metricsAt)).text();
  return text.split("\n").filter((line) => line.startsWith(name + "{")).map((line) => Number(line.split(" ").pop()));
}

async function waitUntilIdle() {
  for (let i = 0; i < 1200; ++i) {
    const [pages, free] = [await metric("vortex:kv_pages"), await metric("vortex:kv_pages_free")];
    const running = await metric("vllm:num_requests_running");
    if (running.every((n) => n === 0) && JSON.stringify(pages) === JSON.stringify(free)) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.fail("pages or requests are left");
}

async function streamed(body, options) {
  const chunks = [];
  for await (const chunk of await client.chat.completions.create({ model, messages, stream: true, ...body }, options)) {
    chunks.push(chunk);
  }
  return chunks;
}
const textOf = (chunks) => chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join("");

const tests = {
  async "openai: models"() {
    const names = [];
    for await (const card of client.models.list()) names.push(card.id);
    assert.ok(names.includes(model) && names.includes(`${model}:dense`), names);
  },

  async "openai: a whole answer with its usage"() {
    const answer = await client.chat.completions.create({ model, messages, max_tokens: 11 });
    assert.equal(answer.choices[0].message.content, bytes(11));
    assert.equal(answer.choices[0].message.role, "assistant");
    assert.equal(answer.choices[0].finish_reason, "length");
    assert.equal(answer.usage.completion_tokens, 11);
    assert.equal(answer.usage.total_tokens, answer.usage.prompt_tokens + 11);
  },

  async "openai: a stream says the same, in whole characters"() {
    const chunks = await streamed({ max_completion_tokens: 30 });
    assert.equal(textOf(chunks), bytes(30));
    assert.ok(!textOf(chunks).includes("\uFFFD"));
    assert.equal(chunks[0].choices[0].delta.role, "assistant");
    assert.ok(chunks.slice(1).every((chunk) => chunk.choices[0].delta.role === undefined));
    assert.ok(chunks.every((chunk) => chunk.choices.length === 1 && "finish_reason" in chunk.choices[0]));
    assert.ok(chunks.every((chunk) => chunk.usage == null && chunk.id === chunks[0].id));
    assert.equal(chunks.at(-1).choices[0].finish_reason, "length");
    assert.ok(chunks.slice(0, -1).every((chunk) => chunk.choices[0].finish_reason === null));
  },

  async "openai: usage at the end of a stream"() {
    const chunks = await streamed({ max_tokens: 5, stream_options: { include_usage: true } });
    const last = chunks.at(-1);
    assert.deepEqual(last.choices, []);
    assert.equal(last.usage.completion_tokens, 5);
    assert.equal(chunks.filter((chunk) => chunk.usage).length, 1);
  },

  async "openai: stop strings across tokens"() {
    for (const [stop, expected] of [["😀", "aé日"], [["zz", "b\na"], "aé日😀"], ["\n", "aé日😀b"]]) {
      const answer = await client.chat.completions.create({ model, messages, max_tokens: 60, stop });
      assert.equal(answer.choices[0].message.content, expected);
      assert.equal(answer.choices[0].finish_reason, "stop");
      const chunks = await streamed({ max_tokens: 60, stop });
      assert.equal(textOf(chunks), expected);
      assert.equal(chunks.at(-1).choices[0].finish_reason, "stop");
    }
    assert.equal(textOf(await streamed({ max_tokens: 24, stop: "b\nb" })), bytes(24));
  },

  async "openai: several choices"() {
    const answer = await client.chat.completions.create({ model, messages, max_tokens: 3, n: 3, seed: 7 });
    assert.deepEqual(answer.choices.map((choice) => choice.index), [0, 1, 2]);
    const chunks = await streamed({ max_tokens: 3, n: 2 });
    for (const index of [0, 1]) {
      const own = chunks.filter((chunk) => chunk.choices[0].index === index);
      assert.equal(textOf(own), "aé");
      assert.equal(own.at(-1).choices[0].finish_reason, "length");
    }
  },

  async "openai: log-probabilities"() {
    const answer = await client.chat.completions.create({
      model, messages, max_tokens: 11, logprobs: true, top_logprobs: 2,
    });
    const content = answer.choices[0].logprobs.content;
    assert.equal(content.length, 11);
    assert.equal(Buffer.from(content.flatMap((token) => token.bytes)).toString(), bytes(11));
    for (const token of content) {
      assert.equal(token.top_logprobs.length, 2);
      assert.ok(token.logprob <= 0 && token.top_logprobs[0].logprob >= token.top_logprobs[1].logprob);
    }
  },

  async "openai: completions go on where their prompt ends"() {
    const answer = await client.completions.create({ model, prompt: ["a", "b"], max_tokens: 6, echo: true, temperature: 0 });
    assert.deepEqual(answer.choices.map((choice) => choice.text), ["aé日\uFFFD", "b\naé\uFFFD"]);
  },

  async "openai: errors are of their class and name the member"() {
    await assert.rejects(client.chat.completions.create({ model: "none", messages }), OpenAI.NotFoundError);
    await assert.rejects(
      client.chat.completions.create({ model, messages, tools: [{ type: "function", function: { name: "f" } }] }),
      (error) => error instanceof OpenAI.BadRequestError && error.param === "tools");
    await assert.rejects(client.chat.completions.create({ model, messages, max_tokens: 1e6 }),
      (error) => error instanceof OpenAI.BadRequestError && error.code === "context_length_exceeded");
  },

  async "openai: an aborted request frees its pages and harms nobody"() {
    const others = Promise.all([1, 2].map(() => client.chat.completions.create({ model, messages, max_tokens: 400 })));
    const stream = await client.chat.completions.create({ model, messages, stream: true, max_tokens: 100000 });
    let seen = 0;
    for await (const chunk of stream) {
      assert.ok(chunk.choices.length === 1);
      if (++seen === 5) stream.controller.abort();
    }
    const whole = new AbortController();
    const refused = assert.rejects(
      client.chat.completions.create({ model, messages, max_tokens: 100000 }, { signal: whole.signal }));
    setTimeout(() => whole.abort(), 100);
    await refused;
    for (const answer of await others) {
      assert.equal(answer.choices[0].message.content, bytes(400));
    }
    await waitUntilIdle();
  },

  async "AI SDK: text and stream"() {
    const provider = createOpenAICompatible({ name: "vortex", baseURL: base, includeUsage: true });
    const whole = await generateText({ model: provider(model), prompt: "Hi.", maxOutputTokens: 12, maxRetries: 0 });
    assert.equal(whole.text, bytes(12));
    assert.equal(whole.finishReason, "length");
    assert.equal(whole.usage.outputTokens, 12);
    const stream = streamText({
      model: provider(model), prompt: "Hi.", maxOutputTokens: 60, stopSequences: ["b\na"], maxRetries: 0,
    });
    let text = "";
    for await (const part of stream.textStream) text += part;
    assert.equal(text, "aé日😀");
    assert.equal(await stream.finishReason, "stop");
  },
};

for (const [name, test] of Object.entries(tests)) {
  await test();
  console.log("  " + name);
}

import { readFileSync } from "node:fs";
import { create, createFileRegistry } from "@bufbuild/protobuf";
import type { DescMessage } from "@bufbuild/protobuf";
import {
  DescriptorProtoSchema,
  EnumDescriptorProtoSchema,
  EnumValueDescriptorProtoSchema,
  FieldDescriptorProtoSchema,
  FileDescriptorProtoSchema,
  FieldDescriptorProto_Label as Label,
  OneofDescriptorProtoSchema,
  FieldDescriptorProto_Type as Type,
} from "@bufbuild/protobuf/wkt";
import type { DescriptorProto, EnumDescriptorProto } from "@bufbuild/protobuf/wkt";

/**
 * The contract as @bufbuild/protobuf sees it, read from `messages.proto` itself so that the two cannot drift apart.
 * Knows only the statements which that file uses, and fails on any other line.
 */

const SCALARS: Readonly<Record<string, Type>> = { uint64: Type.UINT64, string: Type.STRING, bytes: Type.BYTES, bool: Type.BOOL };
const FIELD = /^(repeated )?(\w+) (\w+) = (\d+);$/;

export function readContract(): ReadonlyMap<string, DescMessage> {
  const messages: DescriptorProto[] = [];
  const enums: EnumDescriptorProto[] = [];
  const source = readFileSync(new URL("../messages.proto", import.meta.url), "utf8");
  const lines = source.split("\n").map((line) => line.replace(/\/\/.*$/, "").trim()).filter((line) => line !== "");
  const enumNames = new Set([...source.matchAll(/^enum (\w+)/gm)].map((match) => match[1]));

  let inOneof = false;
  for (const line of lines) {
    const block = /^(message|enum) (\w+) \{(\})?$/.exec(line);
    const field = FIELD.exec(line);
    const enumValue = /^(\w+) = (\d+);$/.exec(line);
    if (block?.[1] === "message") messages.push(create(DescriptorProtoSchema, { name: block[2]! }));
    else if (block?.[1] === "enum") enums.push(create(EnumDescriptorProtoSchema, { name: block[2]! }));
    else if (/^oneof \w+ \{$/.test(line)) {
      messages.at(-1)!.oneofDecl.push(create(OneofDescriptorProtoSchema, { name: line.split(" ")[1]! }));
      inOneof = true;
    } else if (line === "}") inOneof = false;
    else if (field !== null) messages.at(-1)!.field.push(fieldOf(field, enumNames, inOneof));
    else if (enumValue !== null) {
      enums.at(-1)!.value.push(create(EnumValueDescriptorProtoSchema, { name: enumValue[1]!, number: Number(enumValue[2]) }));
    } else if (!/^(syntax|package) /.test(line)) throw new Error(`messages.proto: ${line}`);
  }

  const file = create(FileDescriptorProtoSchema, { name: "messages.proto", package: "holdfast.v1", syntax: "proto3", messageType: messages, enumType: enums });
  const registry = createFileRegistry(file, () => undefined);
  return new Map(messages.map(({ name }) => [name, registry.getMessage(`holdfast.v1.${name}`)!]));
}

function fieldOf([, repeated, type, name, number]: RegExpExecArray, enumNames: ReadonlySet<string | undefined>, inOneof: boolean) {
  const scalar = SCALARS[type!];
  return create(FieldDescriptorProtoSchema, {
    name: name!,
    number: Number(number),
    label: repeated === undefined ? Label.OPTIONAL : Label.REPEATED,
    type: scalar ?? (enumNames.has(type) ? Type.ENUM : Type.MESSAGE),
    ...(scalar === undefined ? { typeName: `.holdfast.v1.${type}` } : {}),
    ...(inOneof ? { oneofIndex: 0 } : {}),
  });
}
